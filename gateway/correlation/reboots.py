"""Why a run began anew: what a gateway said of its boot, and the cause that follows for the loss.

Owns which of several editions of that word counts (a boot's class is provisional until the silence
before it is known) and what each class means for a loss. Classes are `host.reboot`'s. Nothing here
falls back to power: a class that names no evidence of the supply is no evidence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.correlation.account import text_of
from gateway.correlation.evidence import Pairs, Seen, Session
from gateway.correlation.verdict import Cause
from gateway.host.reboot import Confidence, RebootClass

_RANK = {name: place for place, name in enumerate(reversed(Confidence))}
_DAEMON = frozenset({RebootClass.DAEMON_RESTART.value, RebootClass.DAEMON_CRASH.value})
_NOTHING = RebootClass.FIRST_START.value
"""A gateway without a memory says nothing of how it ended."""
_ORDERLY = frozenset(
    {
        RebootClass.ORDERLY_REBOOT.value,
        RebootClass.ORDERLY_POWEROFF.value,
        RebootClass.ORDERLY_KEXEC.value,
        RebootClass.SHUTDOWN_INCOMPLETE.value,
    }
)
_UNCLEAN = frozenset({RebootClass.UNCLEAN_WARM_RESET.value, RebootClass.UNCLEAN_UNKNOWN.value})
_SILENCE = "silent for"
"""How a class begins that only the length of the silence speaks for."""
_GUESSED_WATCHDOG = "with a watchdog of"
_LOW_SUPPLY = "supply low"
_LOW_TO_THE_END = "supply low 0 s"
"""The supply was low in the last record: no longer silence can make that another age."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a gateway said of why a boot, or a run of the daemon, began.

    `final`: said after the silence before was known. `at`: orders editions.
    """

    reboot: str
    confidence: Confidence
    evidence: str
    final: bool
    at: int

    @property
    def line(self) -> str:
        """Return it as a line of evidence."""
        why = f": {self.evidence}" if self.evidence else ""
        return f"says of its start: {self.reboot} ({self.confidence}){why}"


@dataclass(frozen=True, slots=True)
class Began:
    """The cause that follows from a word; `confidence` of all words that agree."""

    cause: Cause
    confidence: Confidence
    word: Word


def boot_words(sessions: Iterable[Session], events: Iterable[Seen]) -> tuple[Word, ...]:
    """Return what was said of a boot, the word that counts last."""
    words = {_of_facts(one.facts, one.opened_ns) for one in sessions}
    words |= {_of_event(seen) for seen in events}
    known = [
        word
        for word in words
        if word is not None and word.reboot not in _DAEMON and word.reboot != _NOTHING
    ]
    return tuple(sorted(known, key=_authority))


def run_words(session: Session) -> tuple[Word, ...]:
    """Return what was said of a new run within the same boot."""
    word = _of_facts(session.facts, session.opened_ns)
    return (word,) if word is not None and word.reboot in _DAEMON else ()


def began(words: Sequence[Word], low_supply: bool, goodbye: bool) -> Began | None:
    """Return the cause of a loss that ended with a run; ``None``: the words do not say.

    `low_supply`: our own evidence that the supply was low within the last half minute. `goodbye`:
    the agent took its leave before.
    """
    if not words:
        return None
    cause = _cause(words[-1], low_supply, goodbye)
    if cause is None:
        return None
    agreeing = [
        _confidence(word, cause) for word in words if _cause(word, low_supply, goodbye) is cause
    ]
    return Began(cause, max(agreeing, key=_RANK.__getitem__), words[-1])


def _cause(word: Word, low_supply: bool, goodbye: bool) -> Cause | None:
    name = word.reboot
    if name in _ORDERLY:
        return Cause.ORDERLY_REBOOT
    if goodbye:
        return Cause.AGENT_STOPPED  # whatever came afterwards, it had left on purpose
    if name == RebootClass.DAEMON_CRASH.value:
        return Cause.AGENT_CRASHED
    if name == RebootClass.DAEMON_RESTART.value:
        return Cause.AGENT_STOPPED
    if name == RebootClass.KERNEL_PANIC.value:
        return Cause.KERNEL_PANIC
    if name == RebootClass.WATCHDOG_RESET.value:
        # A warm reset after about the watchdog's time: it may have been the watchdog.
        guessed = _GUESSED_WATCHDOG in word.evidence
        return Cause.UNCLEAN_REBOOT if guessed else _named(word, Cause.WATCHDOG)
    if name == RebootClass.BROWN_OUT.value:
        return _brown_out(word, low_supply)
    if name == RebootClass.POWER_CUT.value:
        silence = word.evidence.startswith(_SILENCE)
        return Cause.UNCLEAN_REBOOT if silence else _named(word, Cause.POWER_CUT)
    return Cause.UNCLEAN_REBOOT if name in _UNCLEAN else None


def _named(word: Word, cause: Cause) -> Cause | None:
    """A class without its evidence is not believed."""
    return cause if word.evidence else None


def _brown_out(word: Word, low_supply: bool) -> Cause | None:
    """A provisional brown-out may turn out too old to explain the end; a recorded one may not."""
    provisional = (
        word.evidence.startswith(_LOW_SUPPLY)
        and not word.evidence.startswith(_LOW_TO_THE_END)
        and not word.final
    )
    return None if provisional and not low_supply else _named(word, Cause.BROWN_OUT)


def _confidence(word: Word, cause: Cause) -> Confidence:
    if cause is Cause.UNCLEAN_REBOOT or word.confidence is Confidence.NONE:
        return Confidence.POSSIBLE
    return word.confidence


def _authority(word: Word) -> tuple[bool, int, str, int, str]:
    """Order words: a final one counts more, then the latest."""
    return word.final, word.at, word.reboot, _RANK[word.confidence], word.evidence


def _of_facts(facts: Pairs, opened_ns: int) -> Word | None:
    name = text_of(facts, "reboot")
    if not name:
        return None
    confidence = _confident(text_of(facts, "reboot_confidence"))
    return Word(name, confidence, text_of(facts, "reboot_evidence"), False, opened_ns)


def _of_event(seen: Seen) -> Word | None:
    name = text_of(seen.fields, "class")
    if not name:
        return None
    confidence = _confident(text_of(seen.fields, "confidence"))
    evidence = text_of(seen.fields, "evidence")
    # Behind every Hello's word: source times are small beside wall times.
    return Word(name, confidence, evidence, seen.kind == "boot_revised", seen.source_time_ns)


def _confident(text: str) -> Confidence:
    try:
        return Confidence(text)
    except ValueError:
        return Confidence.NONE
