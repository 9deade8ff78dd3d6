"""Tests of the gateway's own account, and that its words are known here."""

from gateway.agent.faults import FaultCause
from gateway.centre.ending import EndCause
from gateway.correlation import account, endings, held
from gateway.correlation.account import Told, account_of
from gateway.correlation.endings import End, end_of, words
from gateway.correlation.evidence import Pairs, Seen, Session

OURS = Session(7, "a", "x", "", "", 0, 10)
FIELDS: Pairs = (("cause", "reset"), ("side", "peer"), ("phase", "session"), ("code", 104))


def test_the_agents_words_are_known() -> None:
    """Each cause of `agent.faults` ends a session, keeps one from being made, or leads nowhere."""
    agent = {cause.value for cause in FaultCause}
    assert set(account._TOLD) <= agent
    assert set(held._HELD) <= agent
    assert agent >= held.UNREACHED
    assert agent - set(account._TOLD) - set(held._HELD) == {"protocol", "internal", "unknown"}


def test_the_centres_words_are_known() -> None:
    """Each cause of `centre.ending` has a meaning here, or is none of a session's."""
    centre = {cause.value for cause in EndCause}
    known = set(endings.DECIDED) | set(endings._ENDS) | endings._LEAVES
    assert known <= centre
    assert centre - known == {"peer_error", "no_hello"}


def test_the_event_comes_before_hello() -> None:
    """Both tell the same; the event is dated."""
    after = Session(8, "a", "x", "", "", 20, None, last_session=7, ended=FIELDS)
    event = Seen("x", 9, 20, "session_ended", (("session", 7), *FIELDS))
    told = account_of(OURS, after, [event])
    later = account_of(OURS, after, [])
    assert told is not None and later is not None
    assert (told.told, told.at_source_ns, later.told, later.at_source_ns) == (
        Told.RESET, 9, Told.RESET, None,
    )  # fmt: skip


def test_hello_tells_of_its_own_session_only() -> None:
    """Not of another session, and not of a failed attempt."""
    other = Session(8, "a", "x", "", "", 20, None, last_session=6, ended=FIELDS)
    dns: Pairs = (("cause", "dns_unreachable"), ("phase", "dns"))
    failed = Session(8, "a", "x", "", "", 20, None, last_session=7, ended=dns)
    assert account_of(OURS, other, []) is None
    assert account_of(OURS, failed, []) is None
    assert account_of(OURS, None, []) is None


def test_a_goodbye_because_another_session_came_is_no_refusal() -> None:
    """`Bye` REPLACED is a policy close by its number only."""
    fields: Pairs = (("cause", "peer_policy"), ("code", 4), ("duration_s", True), ("text", 5))
    told = account_of(OURS, None, [Seen("x", 9, 20, "session_ended", fields)])
    assert told is not None
    assert (told.told, told.text, told.path_dead) == (Told.CONTINUED, "", False)


def test_what_leads_nowhere() -> None:
    """A word that is not known here, or none."""
    told = account_of(OURS, None, [Seen("x", 9, 20, "session_ended", ())])
    assert told is not None
    assert (told.told, told.cause, told.code, told.lasted_s) == (Told.OTHER, "", None, None)


def test_how_the_centre_saw_it() -> None:
    """The words of its record, with what it measured."""
    seen = Session(
        7, "a", "x", "", "", 0, 10, "network", "reset", 1006, "ECONNRESET", 1.25, 2.5,
        path_dead=True,
    )  # fmt: skip
    assert words(seen) == (
        "a saw it end by network: reset 1006 “ECONNRESET”; last message 1.2 s before; "
        "last pong 2.5 s before; TCP: the path was dead"
    )
    assert end_of(seen) is End.SPOKEN
    assert end_of(Session(7, "a", "x", "", "", 0, 10, "agent", "peer_error")) is End.OTHER
