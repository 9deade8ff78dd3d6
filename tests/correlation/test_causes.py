"""Tests of the questions one by one, where the golden scenarios do not lead."""

from dataclasses import replace

import pytest

from gateway.correlation.causes import Judged, judge
from gateway.correlation.evidence import GatewayEvidence
from gateway.correlation.history import History
from gateway.correlation.verdict import Cause, HeldBy
from gateway.host.reboot import Confidence
from tests.correlation import worlds
from tests.correlation.worlds import Gateway, fleet, ns


def judged(gateway: Gateway | GatewayEvidence, place: int = 0) -> Judged:
    """Judge one session of a gateway."""
    evidence = gateway if isinstance(gateway, GatewayEvidence) else gateway.evidence()
    history = History(evidence)
    found = judge(history, history.turns[place])
    assert found is not None
    return found


def gateway(number: int = 5) -> Gateway:
    return fleet().gateways[number]


def test_an_open_session_is_no_loss() -> None:
    """Nothing to judge yet."""
    history = History(gateway().evidence())
    assert judge(history, history.turns[0]) is None


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("store_failed", Cause.CENTRE_ERROR),
        ("internal", Cause.CENTRE_ERROR),
        ("identity", Cause.CENTRE_REFUSED),
        ("revoked", Cause.CENTRE_REFUSED),
        ("protocol_error", Cause.CENTRE_REFUSED),
        ("too_big", Cause.CENTRE_REFUSED),
    ],
)
def test_what_the_centre_did_it_knows(cause: str, expected: Cause) -> None:
    """Its own record is enough, before the gateway has come back."""
    one = gateway()
    one.close(400.0, "centre", cause, 1008)
    loss = judged(one).loss
    assert (loss.cause, loss.confidence, loss.pending) == (expected, Confidence.CERTAIN, False)


@pytest.mark.parametrize(
    ("told", "code", "expected"),
    [
        ("peer_stopped", 1001, Cause.CENTRE_DRAINED),
        ("peer_error", 1011, Cause.CENTRE_ERROR),
        ("peer_policy", 1008, Cause.CENTRE_REFUSED),
        ("peer_policy", 4, Cause.REPLACED),
        ("unauthorised", 5, Cause.CENTRE_REFUSED),
        ("overloaded", 6, Cause.CENTRE_REFUSED),
        ("stopped", None, Cause.AGENT_STOPPED),
        ("continued", None, Cause.REPLACED),
        ("reconfigured", None, Cause.CONFIG_CHANGED),
        ("internal", None, Cause.UNKNOWN),
        ("protocol", 1002, Cause.UNKNOWN),
        ("eof", None, Cause.UNKNOWN),
    ],
)
def test_what_the_gateway_received_or_did(told: str, code: int | None, expected: Cause) -> None:
    """The centre saw a FIN only; the same daemon came back and tells."""
    one = gateway()
    one.account(400.0, told, "peer", code)
    one.close(400.0, "network", "end_of_stream")
    one.connect(402.0)
    assert judged(one).loss.cause is expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("continued", Cause.REPLACED),
        ("peer_stopped", Cause.CENTRE_DRAINED),
        ("peer_error", Cause.CENTRE_ERROR),
        ("half_open", Cause.UNKNOWN),
    ],
)
def test_after_a_goodbye_of_the_agent(told: str, expected: Cause) -> None:
    """What it says of it; a goodbye of the same daemon that it does not explain is unknown."""
    one = gateway()
    one.account(400.0, told, "own")
    one.close(400.0, "agent", "going_away", 1001)
    one.connect(402.0)
    assert judged(one).loss.cause is expected


def test_a_1011_for_want_of_a_pong_is_silence() -> None:
    """The centre sent it because nothing came: no error of the centre's."""
    one = gateway()
    one.trace(300.0, 460.0)
    one.account(450.0, "peer_error", "peer", 1011)
    one.close(449.0, "centre", "no_pong", 1011, 50.0)
    one.connect(452.0)
    assert judged(one).loss.cause is Cause.PATH_DEAD


def test_a_direct_reset_needs_no_peers() -> None:
    """Surer when both ends saw it."""
    for cause, sure in (("reset", Confidence.CERTAIN), ("end_of_stream", Confidence.PROBABLE)):
        one = gateway()
        one.sessions[0] = replace(one.sessions[0], proxy="")
        one.account(400.0, "reset", "peer", 104)
        one.close(400.0, "network", cause)
        one.connect(402.0)
        loss = judged(one).loss
        assert (loss.cause, loss.confidence) == (Cause.RESET_IN_PATH, sure)


def test_a_session_missing_between_is_not_bridged() -> None:
    """The daemon that came back knows of a session in between: this one is not explained."""
    one = gateway()
    one.close(400.0, "network", "end_of_stream")
    one.known = 77
    one.connect(500.0)
    assert judged(one).loss.cause is Cause.UNKNOWN


def test_a_reboot_of_which_nothing_dates_the_end_is_unknown() -> None:
    """Each piece that dates it is needed, and the word of it is told beside."""
    for missing in ("alive_until_ns", "last_message_age_s"):
        one = gateway()
        worlds.watchdog(fleet(), [one], 400.0)
        evidence = one.evidence()
        first = replace(evidence.sessions[0], **{missing: None})
        found = judged(replace(evidence, sessions=(first, *evidence.sessions[1:])))
        assert found.loss.cause is Cause.UNKNOWN
        assert any("watchdog_reset" in proof.text for proof in found.loss.proofs)
        assert not any(proof.supports for proof in found.loss.proofs)
    boots = tuple(replace(boot, offset_ns=None) for boot in evidence.boots)
    assert judged(replace(evidence, boots=boots)).loss.cause is Cause.UNKNOWN


def test_a_silence_that_cannot_be_dated_is_unknown() -> None:
    """Without the age of the last message, or without the boot's place in time."""
    one = gateway()
    worlds.half_open(fleet(), [one], 400.0)
    evidence = one.evidence()
    assert judged(evidence).loss.cause is Cause.PATH_DEAD
    first = replace(evidence.sessions[0], last_message_age_s=None)
    undated = replace(evidence, sessions=(first, *evidence.sessions[1:]))
    assert judged(undated).loss.cause is Cause.UNKNOWN
    assert judged(replace(evidence, boots=())).loss.cause is Cause.UNKNOWN


def test_how_long_the_silence_was_by_what_is_told() -> None:
    """The gateway's own duration; else when its event was; else the centre's close."""
    for fields, at in ((("duration_s",), 443.0), (("duration_s", "event"), 447.0)):
        one = gateway()
        worlds.half_open(fleet(), [one], 400.0)
        evidence = one.evidence()
        events = tuple(
            replace(seen, fields=tuple(p for p in seen.fields if p[0] not in fields))
            for seen in evidence.events
            if seen.kind != "session_ended" or "event" not in fields
        )
        after = evidence.sessions[1]
        after = replace(after, ended=tuple(p for p in after.ended if p[0] not in fields))
        told = replace(evidence, events=events, sessions=(evidence.sessions[0], after))
        proof = next(p for p in judged(told).loss.proofs if "were well" in p.text)
        assert proof.at_ns is not None
        assert abs(proof.at_ns - ns(at)) < worlds.S


def test_more_than_one_mute_boot_between_is_not_bridged() -> None:
    """Which of two ended the session is not known."""
    one = gateway()
    worlds.cut_then_a_mute_boot(fleet(), [one], 400.0)
    assert judged(one).loss.cause is Cause.POWER_CUT
    evidence = one.evidence()
    mute = next(boot for boot in evidence.boots if boot.offset_ns is None)
    two = replace(evidence, boots=(*evidence.boots, replace(mute, boot_id="other")))
    assert judged(two).loss.cause is Cause.UNKNOWN


def test_a_restart_whose_goodbye_was_lost() -> None:
    """The centre saw a FIN only; the next run says that the one before had stopped in order."""
    one = gateway()
    one.close(400.0, "network", "end_of_stream")
    one.boot(401.0, ("daemon_restart", "certain", "the boot id is the same"), same=True)
    one.connect(404.0)
    assert judged(one).loss.cause is Cause.AGENT_STOPPED


def test_a_goodbye_in_a_boot_that_cannot_be_placed() -> None:
    """The leave was taken whenever that was; the supply then cannot be looked up."""
    one = gateway()
    worlds.rebooted(fleet(), [one], 400.0)
    assert judged(replace(one.evidence(), boots=())).loss.cause is Cause.ORDERLY_REBOOT


def test_stopped_then_unplugged_was_stopped() -> None:
    """The agent took its leave; what came after is another matter, known or not."""
    for word, expected in (("power_cut", Cause.AGENT_STOPPED), ("first_start", Cause.UNKNOWN)):
        one = gateway()
        one.close(400.0, "agent", "going_away", 1001)
        one.sessions[0] = replace(one.sessions[0], last_message_age_s=None)
        one.boot(500.0, (word, "probable", "power-on reset"))
        one.connect(520.0)
        assert judged(one).loss.cause is expected


def test_a_boot_that_cannot_be_placed_is_told_without_a_time() -> None:
    """The line of evidence stands, undated."""
    one = gateway()
    worlds.watchdog(fleet(), [one], 400.0)
    evidence = one.evidence()
    boots = tuple(boot for boot in evidence.boots if boot.boot_id.endswith("-1"))
    loss = judged(replace(evidence, boots=boots)).loss
    began = next(proof for proof in loss.proofs if proof.text == "another boot began")
    assert (loss.cause, began.at_ns) == (Cause.WATCHDOG, None)


def test_what_held_a_gateway() -> None:
    """The longest; off for most of it is `down`; nobody has told of a gateway that is away."""
    one = gateway()
    worlds.power_cut(fleet(), [one], 400.0)
    one.failed(505.0, "tls_timeout", "tls")
    assert judged(one).loss.held_by is HeldBy.DOWN
    one.failed(450.0, "refused", "tcp")  # of a boot that had not begun: not placed in the outage
    away = gateway()
    away.failed(401.0, "refused", "tcp")
    away.close(400.0, "network", "reset")
    found = judged(away)
    assert (found.loss.held_by, found.unreached) == (HeldBy.UNKNOWN, True)
    odd = gateway()
    odd.account(400.0, "reset", "peer")
    odd.close(400.0, "network", "reset")
    odd.failed(401.0, "something_new", "tcp")
    odd.connect(410.0)
    assert judged(odd).loss.held_by is HeldBy.UNKNOWN


def test_failures_outside_of_the_outage_hold_nobody() -> None:
    """Those before, and those of a boot that cannot be placed."""
    one = gateway()
    one.failed(200.0, "refused", "tcp")
    one.account(400.0, "reset", "peer")
    one.close(400.0, "network", "reset")
    one.connect(401.0)
    assert judged(one).loss.held_by is HeldBy.NOTHING
    evidence = replace(one.evidence(), boots=())
    assert judged(evidence).loss.held_by is HeldBy.NOTHING


def test_of_two_editions_of_a_session_the_ended_one_counts() -> None:
    """Read while it was open, and again later; another store may hold the first."""
    one = gateway()
    before = one.evidence()
    worlds.killed(fleet(), [one], 400.0)
    after = one.evidence()
    both = replace(after, sessions=(*before.sessions, *after.sessions, *before.sessions))
    assert judged(both) == judged(after)
    twice = tuple(replace(seen, received_ns=seen.received_ns + 5) for seen in after.events)
    assert judged(replace(both, events=(*after.events, *twice))) == judged(after)


def test_labels_that_are_alike_are_one_value() -> None:
    """A large report holds them long."""
    one = gateway()
    worlds.killed(fleet(), [one], 400.0)
    worlds.killed(fleet(), [one], 600.0)
    history = History(one.evidence())
    first, second = (judge(history, turn) for turn in history.turns[:2])
    assert first is not None and second is not None
    assert first.loss.labels is second.loss.labels
