"""Tests of what a start's class means for the loss before it."""

import pytest

from gateway.correlation.evidence import Seen, Session
from gateway.correlation.reboots import Began, began, boot_words, run_words
from gateway.correlation.verdict import Cause
from gateway.host.reboot import Confidence, RebootClass

OUT_AND_OVER = "supply low 12 s before the last record"


def said(name: str, evidence: str, kind: str = "boot_classified", sure: str = "probable") -> Seen:
    fields = (("class", name), ("confidence", sure), ("evidence", evidence))
    return Seen("x", 5 if kind == "boot_classified" else 9, 0, kind, fields)


def cause_of(*events: Seen, low: bool = False, goodbye: bool = False) -> Cause | None:
    found = began(boot_words([], events), low, goodbye)
    return None if found is None else found.cause


@pytest.mark.parametrize(
    ("name", "evidence", "cause"),
    [
        ("brown_out", "watchdog0 bootstatus 0x10: power under", Cause.BROWN_OUT),
        ("brown_out", "supply low 0 s before the last record", Cause.BROWN_OUT),
        ("brown_out", OUT_AND_OVER, None),
        ("brown_out", "", None),
        ("power_cut", "reset status 0x1000: power-on reset", Cause.POWER_CUT),
        ("power_cut", "silent for 400 s", Cause.UNCLEAN_REBOOT),
        ("power_cut", "", None),
        ("watchdog_reset", "watchdog0 bootstatus 0x20: card reset", Cause.WATCHDOG),
        ("watchdog_reset", "warm; silent for 62 s with a watchdog of 60 s", Cause.UNCLEAN_REBOOT),
        ("watchdog_reset", "", None),
        ("kernel_panic", "pstore: Panic#1", Cause.KERNEL_PANIC),
        ("orderly_reboot", "", Cause.ORDERLY_REBOOT),
        ("orderly_poweroff", "", Cause.ORDERLY_REBOOT),
        ("orderly_kexec", "", Cause.ORDERLY_REBOOT),
        ("shutdown_incomplete", "", Cause.ORDERLY_REBOOT),
        ("unclean_warm_reset", "", Cause.UNCLEAN_REBOOT),
        ("unclean_unknown", "", Cause.UNCLEAN_REBOOT),
        ("first_start", "there is no state file", None),
        ("something_new", "whatever", None),
    ],
)
def test_each_class(name: str, evidence: str, cause: Cause | None) -> None:
    """Power needs evidence of power; a class without its evidence is not believed."""
    assert cause_of(said(name, evidence)) is cause


def test_every_class_is_covered_above() -> None:
    """A class that is added to `host.reboot` must be judged here too."""
    mark = next(m for m in test_each_class.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    named = {row[0] for row in mark.args[1]}
    assert {one.value for one in RebootClass} - named == {"daemon_restart", "daemon_crash"}


def test_a_brown_out_that_may_be_too_old_needs_more() -> None:
    """Our own evidence of the supply, or the word after the silence was known."""
    early = said("brown_out", OUT_AND_OVER, sure="possible")
    assert cause_of(early, low=True) is Cause.BROWN_OUT
    assert cause_of(early, said("brown_out", OUT_AND_OVER, "boot_revised")) is Cause.BROWN_OUT
    assert cause_of(early, said("power_cut", "power-on reset", "boot_revised")) is Cause.POWER_CUT


def test_the_revised_word_counts_whatever_came_later() -> None:
    """A Hello may repeat the first word after the revision."""
    facts = (("reboot", "unclean_unknown"), ("reboot_confidence", "odd"))
    session = Session(1, "a", "x", "", "", 10**18, None, facts=facts)
    words = boot_words([session], [said("power_cut", "power-on reset", "boot_revised")])
    assert began(words, False, False) == Began(Cause.POWER_CUT, Confidence.PROBABLE, words[-1])


def test_the_surest_of_the_words_that_agree() -> None:
    """A revision may be less sure of the same cause."""
    words = boot_words(
        [], [said("unclean_unknown", "", sure="none"), said("kernel_panic", "x", sure="certain"),
             said("kernel_panic", "x", "boot_revised", "possible")],
    )  # fmt: skip
    found = began(words, False, False)
    assert found is not None
    assert (found.cause, found.confidence) == (Cause.KERNEL_PANIC, Confidence.CERTAIN)
    assert found.word.line == "says of its start: kernel_panic (possible): x"


def test_after_a_goodbye_it_was_on_purpose() -> None:
    """Stopped, then unplugged: it had left. A reboot in order is still a reboot."""
    assert cause_of(said("power_cut", "power-on reset"), goodbye=True) is Cause.AGENT_STOPPED
    assert cause_of(said("orderly_reboot", ""), goodbye=True) is Cause.ORDERLY_REBOOT


def test_a_run_within_the_boot_speaks_of_the_daemon() -> None:
    """The boot's class is not the daemon's, nor the daemon's the boot's."""
    crash = Session(1, "a", "x", "", "", 5, None, facts=(("reboot", "daemon_crash"),))
    boot = Session(1, "a", "x", "", "", 5, None, facts=(("reboot", "orderly_reboot"),))
    dumb = Session(1, "a", "x", "", "", 5, None)
    assert began(run_words(crash), False, False) is not None
    assert run_words(boot) == run_words(dumb) == ()
    assert boot_words([crash, dumb], [Seen("x", 1, 0, "boot_classified", ())]) == ()
    assert began((), True, True) is None
