"""Golden scenarios: every fault, told as real ones are, is one incident with the right cause."""

from collections import Counter

import pytest

from gateway.correlation.analysis import analyse
from gateway.correlation.evidence import NodeEvent
from gateway.correlation.report import Report
from gateway.correlation.verdict import QUIET, Cause, GroupKind, HeldBy, Incident
from gateway.host.reboot import Confidence
from tests.correlation import worlds
from tests.correlation.worlds import Fault, World, fleet, ns, strike

END = 2000.0
_POWER = {Cause.BROWN_OUT, Cause.POWER_CUT}


def report_of(world: World, end: float = END) -> Report:
    """Analyse a world."""
    return analyse(world.evidence(), world.notes, world.series(end), ns(100.0), ns(end), ns(end))


def only(report: Report) -> Incident:
    """Return the one incident there is."""
    assert len(report.incidents) == 1, [(i.cause, len(i.losses)) for i in report.incidents]
    return report.incidents[0]


@pytest.mark.parametrize("fault", worlds.LOCAL, ids=lambda fault: fault.__name__)
def test_a_fault_of_one_gateway(fault: Fault) -> None:
    """One gateway, one incident, the right cause and what held it."""
    world = fleet()
    truth = strike(world, fault, [world.gateways[5]], 400.0)
    incident = only(report_of(world))
    assert incident.cause is truth.cause
    assert {loss.gateway for loss in incident.losses} == set(truth.gateways)
    assert incident.quiet is (truth.cause in QUIET)
    assert incident.ended_ns is not None
    for loss in incident.losses:
        assert loss.confidence is not Confidence.NONE
        assert not loss.pending
        assert any(proof.supports for proof in loss.proofs)
        if truth.held is not None:
            assert loss.held_by is truth.held


@pytest.mark.parametrize("fault", worlds.LOCAL, ids=lambda fault: fault.__name__)
def test_a_fault_of_a_whole_feeder(fault: Fault) -> None:
    """Four gateways of one feeder fall together: one incident, and the feeder is named."""
    world = fleet(24)
    truth = strike(world, fault, world.of(feeder="f2"), 400.0)
    report = report_of(world)
    assert {loss.cause for one in report.incidents for loss in one.losses} == {truth.cause}
    if truth.cause is Cause.PROXY_IDLE:  # they share no proxy: two proxies time out
        assert {len({loss.gateway for loss in one.losses}) for one in report.incidents} == {2}
        return
    incident = only(report)
    assert (incident.groups[0].kind, incident.groups[0].value) == (GroupKind.FEEDER, "f2")
    assert (incident.groups[0].lost, incident.groups[0].of) == (4, 4)


@pytest.mark.parametrize("fault", worlds.OF_A_PROXY, ids=lambda fault: fault.__name__)
def test_a_fault_of_a_proxy(fault: Fault) -> None:
    """Everybody behind one proxy: one incident, named after it."""
    world = fleet()
    behind = [one for one in world.gateways if one.proxy == worlds.PROXIES[1]]
    truth = strike(world, fault, behind, 400.0)
    incident = only(report_of(world))
    assert incident.cause is truth.cause
    assert len(incident.losses) == len(behind) == 8
    group = next(one for one in incident.groups if one.kind is GroupKind.PROXY)
    assert (group.value, group.lost, group.of) == (worlds.PROXIES[1], 8, 8)
    assert {loss.held_by for loss in incident.losses} == {truth.held}


@pytest.mark.parametrize("fault", worlds.OF_A_NODE, ids=lambda fault: fault.__name__)
def test_a_fault_of_a_node(fault: Fault) -> None:
    """Everybody connected to one node: one incident, with what the node noted beside it."""
    world = fleet()
    there = [one for one in world.gateways if one.node == "b"]
    truth = strike(world, fault, there, 400.0)
    incident = only(report_of(world))
    assert incident.cause is truth.cause
    assert Counter(loss.cause for loss in incident.losses) == {truth.cause: 8}
    assert (GroupKind.NODE, "b", 8, 8) in [
        (one.kind, one.value, one.lost, one.of) for one in incident.groups
    ]
    assert any("b noted" in proof.text for proof in incident.losses[0].proofs)


def test_two_faults_at_once_stay_two() -> None:
    """A feeder loses power while another gateway's radio fades and a third is killed."""
    world = fleet(24)
    strike(world, worlds.sag_then_cut, world.of(feeder="f1"), 400.0)
    strike(world, worlds.power_cut, [world.gateways[14]], 401.0)
    strike(world, worlds.wifi_fades, [world.gateways[9]], 402.0)
    strike(world, worlds.killed, [world.gateways[17]], 400.5)
    report = report_of(world)
    assert Counter((one.cause, len(one.losses)) for one in report.incidents) == {
        (Cause.BROWN_OUT, 4): 1,
        (Cause.POWER_CUT, 1): 1,
        (Cause.RADIO, 1): 1,
        (Cause.AGENT_CRASHED, 1): 1,
    }


def test_the_whole_fleet_is_one_incident() -> None:
    """The path of everybody dies: one incident, the fleet."""
    world = fleet(unwatched=8)
    strike(world, worlds.half_open, world.gateways, 400.0)
    incident = only(report_of(world))
    assert incident.cause is Cause.PATH_DEAD
    assert incident.groups[0].kind is GroupKind.FLEET
    assert incident.drop is not None
    assert (incident.drop.before, incident.drop.bottom) == (16, 0)


def test_half_a_feeder_does_not_split_what_fell_at_one_instant() -> None:
    """Three behind one broken path, two of them on a feeder of four: one incident."""
    world = fleet(24)
    first, _, second, _ = world.of(feeder="f2")
    other = next(one for one in world.gateways if one.labels["feeder"] != "f2")
    strike(world, worlds.half_open, [first, second, other], 400.0)
    assert len(only(report_of(world)).losses) == 3


def test_a_whole_feeder_stays_an_incident_of_its_own() -> None:
    """Four of four, and at the same instant somebody elsewhere."""
    world = fleet(24)
    other = next(one for one in world.gateways if one.labels["feeder"] != "f2")
    strike(world, worlds.half_open, [*world.of(feeder="f2"), other], 400.0)
    assert sorted(len(one.losses) for one in report_of(world).incidents) == [1, 4]


def test_an_incident_has_its_own_drop() -> None:
    """Two faults ten seconds apart: each incident is part of the nearer fall."""
    world = fleet()
    strike(world, worlds.killed, [world.gateways[3]], 400.0)
    strike(world, worlds.rebooted, [world.gateways[9]], 412.0)
    for incident in report_of(world).incidents:
        drop, lost_ns = incident.drop, incident.losses[0].lost_ns
        assert drop is not None
        assert drop.started_ns <= lost_ns <= drop.bottom_ns + ns(1.0) - ns(0.0)


def test_a_dead_path_takes_the_name_server_with_it() -> None:
    """Two of one operator fall silent at once; one asks a name server behind the same path."""
    world = fleet()
    some = world.gateways[4:6]
    strike(world, worlds.half_open, some, 400.0)
    some[0].tell("connect_failed", 456.0, cause="dns_unreachable", phase="dns", text="-3")
    incident = only(report_of(world))
    assert incident.cause is Cause.PATH_DEAD
    assert {loss.held_by for loss in incident.losses} == {HeldBy.DNS, HeldBy.TIMEOUT}


def test_a_gateway_that_is_not_back_is_pending() -> None:
    """Supply evidence alone names no cause before the gateway has told its side."""
    world = fleet()
    strike(world, worlds.sag_then_cut, [world.gateways[6]], 400.0)
    early = analyse(world.evidence(), (), (), ns(100.0), ns(440.0), ns(440.0))
    assert early.incidents == ()  # the centre has not noticed yet
    gone = world.gateways[6]
    gone.sessions, gone.runs = gone.sessions[:1], gone.runs[:1]
    incident = only(report_of(world))
    loss = incident.losses[0]
    assert (loss.cause, loss.pending, loss.returned_ns) == (Cause.UNKNOWN, True, None)
    assert incident.ended_ns is None


def test_the_name_of_an_incident_stays_while_it_improves() -> None:
    """The same identity before and after the gateways have told."""
    world = fleet()
    strike(world, worlds.power_cut, world.of(feeder="f0"), 400.0)
    later = only(report_of(world))
    for gateway in world.of(feeder="f0"):
        gateway.sessions, gateway.runs = gateway.sessions[:1], gateway.runs[:1]
    early = only(report_of(world))
    assert early.cause is Cause.UNKNOWN
    assert early.groups[0].value == "f0"
    assert early.identity == later.identity


def test_a_firewall_that_spares_the_others() -> None:
    """Both ends see a reset, the proxy's other gateways stay: three, one incident."""
    world = fleet()
    some = [world.gateways[1], world.gateways[6], world.gateways[11]]
    strike(world, worlds.firewall, some, 400.0)
    incident = only(report_of(world))
    assert incident.cause is Cause.RESET_IN_PATH
    assert len(incident.losses) == 3


def test_dns_beside_a_firewall_is_another_incident() -> None:
    """Two cuts at the same second: what holds them apart is that one set cannot resolve names."""
    world = fleet()
    strike(world, worlds.firewall, [world.gateways[1], world.gateways[7]], 400.0)
    strike(world, worlds.names_gone, [world.gateways[4], world.gateways[10]], 400.2)
    report = report_of(world)
    assert len(report.incidents) == 2
    assert {one.cause for one in report.incidents} == {Cause.RESET_IN_PATH}


def test_a_loss_nobody_explains_stays_unknown_within_its_incident() -> None:
    """A gateway of the dead feeder whose reboot is not told is unknown, in the same incident."""
    world = fleet()
    strike(world, worlds.power_cut, world.of(feeder="f1"), 400.0)
    dumb = world.of(feeder="f1")[2]
    dumb.events = [one for one in dumb.events if one.kind != "boot_classified"]
    dumb.sessions = [
        worlds.replace(one, facts=tuple(pair for pair in one.facts if "reboot" not in pair[0]))
        for one in dumb.sessions
    ]
    incident = only(report_of(world))
    assert Counter(loss.cause for loss in incident.losses) == {Cause.POWER_CUT: 3, Cause.UNKNOWN: 1}
    assert incident.cause is Cause.POWER_CUT


@pytest.mark.parametrize("fault", worlds.LOCAL, ids=lambda fault: fault.__name__)
def test_power_is_never_blamed_without_evidence(fault: Fault) -> None:
    """Without a supply that was low and without a word of the boot, nobody says power."""
    world = fleet()
    truth = strike(world, fault, [world.gateways[5]], 400.0)
    for one in world.gateways:
        one.events = [e for e in one.events if not e.kind.startswith(("boot_", "supply_"))]
        one.sessions = [
            worlds.replace(s, facts=tuple(p for p in s.facts if p[0] != "reboot_evidence"))
            for s in one.sessions
        ]
    causes = {loss.cause for one in report_of(world).incidents for loss in one.losses}
    assert not causes & _POWER
    assert causes <= {truth.cause, Cause.UNKNOWN}


def test_a_long_silence_alone_is_no_power_cut() -> None:
    """`silent for 4000 s` is a class of the agent's, not evidence of the supply."""
    world = fleet()
    strike(world, worlds.unclean, [world.gateways[5]], 400.0)
    gateway = world.gateways[5]
    gateway.tell(
        "boot_revised", 480.0, **{"class": "power_cut", "confidence": "possible",
                                  "evidence": "silent for 4000 s"},
    )  # fmt: skip
    assert only(report_of(world)).cause is Cause.UNCLEAN_REBOOT


def test_sessions_that_are_open_or_replaced_without_a_gap_are_no_losses() -> None:
    """A session that made way for the gateway's next one costs nothing."""
    world = fleet()
    gateway = world.gateways[3]
    gateway.account(400.0, "continued", "own")
    gateway.connect(400.0)
    gateway.sessions[0] = worlds.replace(
        gateway.sessions[0], closed_ns=ns(400.1), side="centre", cause="replaced"
    )
    report = report_of(world)
    assert report.incidents == ()
    assert (report.gateways, report.sessions, report.losses) == (16, 17, 0)


def test_a_session_replaced_by_a_rebooted_gateway_is_a_loss() -> None:
    """The centre noticed nothing, but another boot came in: it was gone."""
    world = fleet()
    strike(world, worlds.watchdog, [world.gateways[3]], 400.0)
    gateway = world.gateways[3]
    gateway.sessions[0] = worlds.replace(
        gateway.sessions[0],
        closed_ns=gateway.sessions[1].opened_ns + 1,
        side="centre",
        cause="replaced",
        last_message_age_s=(gateway.sessions[1].opened_ns - ns(399.6)) / worlds.S,
    )
    incident = only(report_of(world))
    assert incident.cause is Cause.WATCHDOG
    assert incident.losses[0].lost_ns == incident.losses[0].returned_ns


def test_losses_outside_of_the_span_are_not_told() -> None:
    """Only sessions that ended within the span count; all are looked at."""
    world = fleet()
    strike(world, worlds.killed, [world.gateways[5]], 400.0)
    report = analyse(world.evidence(), (), (), ns(500.0), ns(END), ns(END))
    assert report.incidents == ()
    late = analyse(world.evidence(), (), (), ns(100.0), ns(END), ns(1.0))
    assert (late.incidents, late.gateways) == ((), 16)


def test_what_a_node_notes_of_gateways_is_not_put_beside_losses() -> None:
    """`identity_refused` concerns one gateway, not the drain."""
    world = fleet()
    strike(world, worlds.centre_drained, [g for g in world.gateways if g.node == "a"], 400.0)
    world.notes.append(NodeEvent("a", ns(400.0), "identity_refused", "gw-00"))
    texts = [p.text for loss in only(report_of(world)).losses for p in loss.proofs]
    assert not any("identity_refused" in text for text in texts)
