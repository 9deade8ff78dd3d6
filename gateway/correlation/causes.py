"""One cause for one lost session, from what concerns that gateway alone.

Owns the questions and their order: who ended it by the centre's own record; did the daemon or the
machine that held it end too; how did the gateway see it; what did its host show. A question whose
answer is missing ends in "unknown", never in the next question: so evidence that is taken away
cannot make another cause (`docs/decisions/attribution.md`). What only several gateways show is
`peers`' business.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gateway.correlation import surroundings
from gateway.correlation.account import UNASKED, Account, Told, account_of, text_of
from gateway.correlation.endings import DECIDED, NO_PONG, End, end_of, words
from gateway.correlation.evidence import Session
from gateway.correlation.held import held_by
from gateway.correlation.history import History, Turn
from gateway.correlation.reboots import Began, Word, began, boot_words, run_words
from gateway.correlation.timeline import SECOND_NS
from gateway.correlation.verdict import Cause, Loss, Proof
from gateway.host.reboot import Confidence

WITH_IT_NS = 10 * SECOND_NS
"""A run that left no record later than this ended with the session."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A loss, with what its peers are compared by. `felt_ns`: when it was cut, as near as the
    centre knows. `unreached`: trying to come back, it met nobody behind the address."""

    loss: Loss
    end: End
    felt_ns: int
    silence_s: float | None
    told: Told | None
    unreached: bool
    same_run: bool


@dataclass(frozen=True, slots=True)
class _Verdict:
    cause: Cause = Cause.UNKNOWN
    confidence: Confidence = Confidence.NONE
    proofs: tuple[Proof, ...] = ()


_ASKED = {
    Told.STOPPED: Cause.AGENT_STOPPED,
    Told.RECONFIGURED: Cause.CONFIG_CHANGED,
    Told.CONTINUED: Cause.REPLACED,
}
_BY_THE_CENTRE = {
    Told.DRAINED: Cause.CENTRE_DRAINED,
    Told.REFUSED: Cause.CENTRE_REFUSED,
    Told.CENTRE_ERROR: Cause.CENTRE_ERROR,
}


def judge(history: History, turn: Turn, proofs: bool = True) -> Judged | None:
    """Judge one session; ``None``: it is open, or was replaced without a gap of its own. Without
    `proofs` its lines of evidence are left out."""
    session, following = turn.session, turn.following
    closed_ns = session.closed_ns
    if closed_ns is None:
        return None
    end = end_of(session)
    account = account_of(session, following, history.ends(session))
    overlapped = following is not None and following.opened_ns <= closed_ns
    held = (overlapped or end is End.REPLACED) and end is not End.DECIDED
    if held and not _gap(turn, account):
        return None
    lost_ns = closed_ns
    if following is not None and overlapped:
        lost_ns = max(session.opened_ns, following.opened_ns)
    verdict = _decide(history, turn, end, account)
    heard_ns = turn.heard_ns
    # The agent may have given up, and tried again, long before the centre noticed.
    kept = held_by(history, turn, lost_ns if heard_ns is None else min(lost_ns, heard_ns))
    silent = end in (End.SILENT, End.REPLACED) and heard_ns is not None
    loss = Loss(
        gateway=history.gateway,
        session=session.number,
        node=session.node,
        proxy=session.proxy,
        software=session.software,
        labels=history.labels(session),
        opened_ns=session.opened_ns,
        lost_ns=lost_ns,
        returned_ns=None if following is None else following.opened_ns,
        cause=verdict.cause,
        confidence=verdict.confidence,
        held_by=kept.by,
        pending=following is None and end is not End.DECIDED,
        proofs=()
        if not proofs
        else (
            Proof(closed_ns, 0, "centre", words(session), end is End.DECIDED),
            *_told(history, session, account, verdict.cause),
            *(verdict.proofs if verdict.cause is not Cause.UNKNOWN else _beside(verdict.proofs)),
            *kept.proofs,
        ),
    )
    return Judged(
        loss,
        end,
        heard_ns if silent and heard_ns is not None else closed_ns,
        session.last_message_age_s,
        None if account is None else account.told,
        kept.unreached,
        turn.same_run,
    )


def _gap(turn: Turn, account: Account | None) -> bool:
    """Say whether a session that the centre held until the next one came was lost all the same:
    the agent knows of an end that nobody wanted, or another run of it came."""
    return turn.new_run or (account is not None and account.told in UNASKED)


def _decide(history: History, turn: Turn, end: End, account: Account | None) -> _Verdict:
    if end is End.DECIDED:
        return _Verdict(DECIDED[turn.session.cause], Confidence.CERTAIN)
    if turn.following is None:
        return _Verdict()
    if end is End.GOODBYE:
        return _left(history, turn, account)
    if turn.same_run:
        return _same_run(history, turn, account)
    if not turn.new_run:
        return _Verdict()  # a session is missing between the two
    ended = _ended_with_it(history, turn)
    if ended is None:
        return _Verdict(proofs=_words_of(history, turn, _new_run(history, turn)))
    if ended:
        return _run_over(history, turn, goodbye=False)
    return _same_run(history, turn, account)  # the run went on: what ended it came later


# --- the agent took its leave --------------------------------------------------------------------


def _left(history: History, turn: Turn, account: Account | None) -> _Verdict:
    told = None if account is None else account.told
    if told in (Told.RECONFIGURED, Told.CONTINUED):
        return _Verdict(_ASKED[told], Confidence.CERTAIN)
    if told in _BY_THE_CENTRE:
        return _Verdict(_BY_THE_CENTRE[told], Confidence.PROBABLE)
    if not turn.new_run:
        return _Verdict()
    if turn.same_boot:
        proofs = _words_of(history, turn, _new_run(history, turn))
        return _Verdict(Cause.AGENT_STOPPED, Confidence.CERTAIN, proofs)
    return _run_over(history, turn, goodbye=True)


# --- the run, or the machine, ended with the session ----------------------------------------------


def _ended_with_it(history: History, turn: Turn) -> bool | None:
    """Say whether the run that held the session ended with it; ``None``: that is not known."""
    session, heard_ns = turn.session, turn.heard_ns
    if session.alive_until_ns is None or heard_ns is None:
        return None
    heard = history.timeline.source_ns(session.boot_id, heard_ns)
    if heard is None:
        return None
    return session.alive_until_ns <= heard + WITH_IT_NS


def _run_over(history: History, turn: Turn, *, goodbye: bool) -> _Verdict:
    said = _new_run(history, turn)
    low = False
    supply: tuple[Proof, ...] = ()
    heard_ns = turn.heard_ns
    session = turn.session
    if heard_ns is not None and not turn.same_boot:
        heard = history.timeline.source_ns(session.boot_id, heard_ns)
        if heard is not None:
            low, supply = surroundings.supply(history, session.boot_id, heard)
    proofs = (*_words_of(history, turn, said), *supply)
    found: Began | None = began(said, low, goodbye)
    if found is None:
        return _Verdict(proofs=proofs)
    return _Verdict(found.cause, found.confidence, proofs)


def _new_run(history: History, turn: Turn) -> tuple[Word, ...]:
    """Return what was said of the run, or of the boot, that came after the session's."""
    following = turn.following
    assert following is not None  # asked for only when it came back
    if turn.same_boot:
        return run_words(following)
    boot_id = _boot_after(history, turn.session, following)
    if boot_id is None:
        return ()
    events = [
        *history.events(boot_id, "boot_classified"),
        *history.events(boot_id, "boot_revised"),
    ]
    return boot_words(history.sessions(boot_id), events)


def _boot_after(history: History, session: Session, following: Session) -> str | None:
    """Return the boot that came right after the session's: one may have come and gone without a
    word, and be known only from what it left on the card; ``None``: more than one did."""
    between = [
        boot.boot_id
        for boot in history.timeline.mute
        if boot.boot_id not in (session.boot_id, following.boot_id)
        and session.opened_ns < boot.first_ns <= following.opened_ns
    ]
    if not between:
        return following.boot_id
    return between[0] if len(between) == 1 else None


# --- the same daemon came back --------------------------------------------------------------------


def _same_run(history: History, turn: Turn, account: Account | None) -> _Verdict:
    if account is None:
        return _Verdict()
    session = turn.session
    if account.told in _ASKED:
        return _Verdict(_ASKED[account.told], Confidence.PROBABLE)
    unanswered = account.told is Told.CENTRE_ERROR and session.cause == NO_PONG
    if account.told in _BY_THE_CENTRE and not unanswered:
        return _Verdict(_BY_THE_CENTRE[account.told], Confidence.PROBABLE)
    if account.told is Told.RESET and not session.proxy:
        both = session.cause == "reset"
        sure = Confidence.CERTAIN if both else Confidence.PROBABLE
        return _Verdict(Cause.RESET_IN_PATH, sure)
    if account.told in (Told.SILENT, Told.ADAPTER) or unanswered:
        return _fell_silent(history, turn, account)
    return _Verdict()


def _fell_silent(history: History, turn: Turn, account: Account) -> _Verdict:
    session, heard_ns, closed_ns = turn.session, turn.heard_ns, turn.session.closed_ns
    if heard_ns is None or closed_ns is None:
        return _Verdict()
    heard = history.timeline.source_ns(session.boot_id, heard_ns)
    if heard is None:
        return _Verdict()
    ended = heard + closed_ns - heard_ns
    if account.lasted_s is not None:  # event and `Hello` tell the same of it
        ended = heard + session.opened_ns - heard_ns + round(account.lasted_s * SECOND_NS)
    elif account.at_source_ns is not None:
        ended = account.at_source_ns
    watched = text_of(session.facts, "host") != "none"
    silence = surroundings.Silence(session.boot_id, heard, max(heard, ended), account, watched)
    found = surroundings.explain(history, silence)
    if found.cause is None:
        return _Verdict(proofs=found.proofs)
    return _Verdict(found.cause, found.confidence, found.proofs)


# --- words ----------------------------------------------------------------------------------------


def _told(
    history: History, session: Session, account: Account | None, cause: Cause
) -> tuple[Proof, ...]:
    if account is None:
        return ()
    code = "" if account.code is None else f" {account.code}"
    text = f"saw it end by {account.side}: {account.cause}{code}"
    text += f" “{account.text[:80]}”" if account.text else ""
    text += "; TCP: the path was dead" if account.path_dead else ""
    supports = cause is not Cause.UNKNOWN
    at_ns = account.at_source_ns
    return (history.proof(session.boot_id, at_ns, "agent", text, supports),)


def _beside(proofs: Iterable[Proof]) -> Iterator[Proof]:
    """Yield lines of evidence that decided nothing."""
    for proof in proofs:
        yield replace(proof, supports=False)


def _words_of(history: History, turn: Turn, said: tuple[Word, ...]) -> tuple[Proof, ...]:
    """Return how it came back, and what it says of that start."""
    following = turn.following
    assert following is not None
    began_ns = history.timeline.place(following.boot_id, 0)
    proofs = []
    if not turn.same_boot:
        at_ns, error_ns = (None, 0) if began_ns is None else (began_ns.at_ns, began_ns.error_ns)
        proofs.append(Proof(at_ns, error_ns, "host", "another boot began"))
    if said:
        proofs.append(Proof(following.opened_ns, 0, "agent", said[-1].line))
    return tuple(proofs)
