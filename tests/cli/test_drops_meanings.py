"""Pins which error strings belong to a loss: its own endings and its way back, nobody else's."""

import pytest

from gateway.cli.drops_meanings import meanings
from gateway.correlation.evidence import Boot, GatewayEvidence, Pairs, Seen, Session
from gateway.correlation.verdict import Cause
from tests.cli.drops_made import at, loss

BOOT = Boot("b1", at(0), at(0), ())
LOST = loss(1, 4000, 4060, Cause.UNKNOWN, gateway="g")


def session(number: int, **more: object) -> Session:
    """Make a session of the node that lost the made one."""
    plain: dict[str, object] = {
        "number": number, "node": "a", "boot_id": "b1", "proxy": "", "remote": "",
        "opened_ns": LOST.opened_ns, "closed_ns": None,
    }  # fmt: skip
    return Session(**{**plain, **more})


def failed(seconds: float, cause: str, kind: str = "connect_failed", **more: object) -> Seen:
    """Make an event of the gateway."""
    fields: Pairs = tuple({"cause": cause, **more}.items())
    return Seen("b1", round(seconds * 1e9), at(seconds), kind, fields)


def keys(*evidence: Session | Seen) -> list[str]:
    """Return the rows met."""
    known = GatewayEvidence(
        "g",
        tuple(one for one in evidence if isinstance(one, Session)),
        (BOOT,),
        tuple(one for one in evidence if isinstance(one, Seen)),
    )
    return [one.signature.key for one in meanings([LOST], {"g": known})]


def test_both_sides_of_the_end() -> None:
    """The centre's ending and the agent's own, from the next `Hello` or from its event, count."""
    ended = session(LOST.session, cause="timed_out", code=1006)
    assert keys(ended) == ["etimedout"]
    following = session(7, last_session=LOST.session, ended=(("cause", "reset"), ("code", 104)))
    assert keys(following) == ["econnreset"]
    event = failed(4000, "reset", "session_ended", session=LOST.session, code=104)
    assert keys(event) == ["econnreset"]


def test_another_session_does_not_count() -> None:
    """An ending of another session, or of the same number at another node, is not this one."""
    assert keys(session(5, cause="timed_out", code=1006)) == []
    assert keys(session(LOST.session, node="b", cause="timed_out")) == []
    assert keys(session(7, last_session=5, ended=(("cause", "reset"),))) == []
    assert keys(failed(4000, "reset", "session_ended", session=5)) == []


@pytest.mark.parametrize(
    ("seconds", "counts"), [(3950, True), (4030, True), (4060.5, True), (4065, False), (300, False)]
)
def test_the_way_back(seconds: float, counts: bool) -> None:
    """Attempts count from when the agent may first have seen the end until it was back."""
    assert keys(failed(seconds, "refused", code=111)) == (["econnrefused"] if counts else [])


def test_gateways_are_counted_once() -> None:
    """A row is told once with the number of gateways that met it; of unknown ones nothing is."""
    losses = [loss(n, 4000, 4060, Cause.UNKNOWN) for n in range(3)]
    evidence = {
        one.gateway: GatewayEvidence(
            one.gateway, (session(one.session, cause="reset", code=1006),), (BOOT,),
            (failed(4001, "refused"), failed(4002, "refused")),
        )
        for one in losses[:2]
    }  # fmt: skip
    found = meanings(losses, evidence)
    assert {(one.signature.key, one.gateways) for one in found} == {
        ("econnreset", 2), ("econnrefused", 2)
    }  # fmt: skip


@pytest.mark.parametrize("odd", [None, 7, True, "", "no_such_cause", float("nan")])
def test_odd_words(odd: object) -> None:
    """A cause or a code that is none leads nowhere, quietly."""
    assert keys(failed(4001, odd, code=odd)) == []
