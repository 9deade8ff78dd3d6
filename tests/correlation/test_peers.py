"""Tests of what only several gateways show, and of how losses become incidents."""

from dataclasses import replace

from gateway.correlation.analysis import analyse
from gateway.correlation.census import FLEET, Census, label_keys
from gateway.correlation.evidence import Session
from gateway.correlation.incidents import stamp
from gateway.correlation.verdict import Cause, Drop, GroupKind
from gateway.host.reboot import Confidence
from tests.correlation import worlds
from tests.correlation.test_analysis import only, report_of
from tests.correlation.worlds import PROXIES, Gateway, World, fleet, ns, strike


def behind(world: World, proxy: int = 0, node: str | None = None) -> list[Gateway]:
    return [
        one
        for one in world.gateways
        if one.proxy == PROXIES[proxy] and (node is None or one.node == node)
    ]


def causes(world: World) -> set[Cause]:
    return {loss.cause for one in report_of(world).incidents for loss in one.losses}


def cut(some: list[Gateway], told: str, back: float, step: float = 0.001) -> None:
    """End sessions together; they come back later, one after the other."""
    for place, one in enumerate(some):
        if told:
            one.account(400.0 + place * step, told, "peer")
        one.close(400.0 + place * step, "network", "end_of_stream", 1006, 0.3 + place * 0.7)
        one.connect(400.0 + back + place)


def test_sessions_with_one_node_closed_while_the_others_stay() -> None:
    """The proxy lives: it closed what it had with that node."""
    world = fleet()
    cut(behind(world, 0, "a"), "eof", 20.0)
    incident = only(report_of(world))
    assert incident.cause is Cause.PROXY_RELOADED
    assert "with a at once, while 4 others stayed" in incident.losses[0].proofs[-1].text


def test_resets_of_one_node_may_be_a_firewalls() -> None:
    """RST alone, while others stay, does not say who sent it."""
    world = fleet()
    cut(behind(world, 0, "a"), "reset", 20.0)
    assert causes(world) == {Cause.UNKNOWN}


def test_resets_of_a_whole_proxy_at_one_stroke_are_the_proxy() -> None:
    """Within half a second it is one process; spread over their own traffic it may be a box."""
    for step, cause in ((0.001, Cause.PROXY_FAILED), (0.2, Cause.UNKNOWN)):
        world = fleet()
        some = behind(world)
        cut(some, "reset", 20.0, step)
        some[0].failed(402.0, "refused", "tcp")
        assert causes(world) == {cause}


def test_a_proxy_that_nobody_tells_of_stays_unknown() -> None:
    """One that has told is not enough; nor is a proxy that nobody tried again."""
    world = fleet()
    cut(behind(world), "", 20.0)
    assert causes(world) == {Cause.UNKNOWN}
    world = fleet()
    cut(behind(world), "eof", 20.0)
    assert causes(world) == {Cause.UNKNOWN}


def test_how_sure_a_dead_proxy_is() -> None:
    """By how many found nobody behind its address."""
    for count, sure in ((1, Confidence.PROBABLE), (3, Confidence.CERTAIN)):
        world = fleet()
        some = behind(world)
        cut(some, "eof", 20.0)
        for one in some[:count]:
            one.failed(402.0, "refused", "tcp")
        incident = only(report_of(world))
        assert (incident.cause, incident.confidence) == (Cause.PROXY_FAILED, sure)


def test_resets_of_a_whole_proxy_that_takes_in_at_once_are_no_reload() -> None:
    """A worker that ends closes somebody in order; resets alone may be a firewall's."""
    world = fleet()
    cut(behind(world), "reset", 0.5)
    assert causes(world) == {Cause.UNKNOWN}
    world = fleet()
    some = behind(world)
    cut(some[:1], "eof", 0.5)
    cut(some[1:], "reset", 0.5)
    assert causes(world) == {Cause.PROXY_RELOADED}


def test_a_reset_of_the_only_one_behind_a_proxy_is_unknown() -> None:
    """Nobody stayed to tell a box in the path from the proxy itself."""
    world = fleet()
    one = world.gateways[0]
    one.proxy = "10.0.0.9"
    one.sessions[0] = replace(one.sessions[0], proxy="10.0.0.9")
    strike(world, worlds.firewall, [one], 400.0)
    assert causes(world) == {Cause.UNKNOWN}


def test_a_gateway_that_rebooted_then_keeps_its_own_cause() -> None:
    """Seven lost their proxy; the eighth was rebooted in the same second."""
    world = fleet()
    some = behind(world)
    strike(world, worlds.proxy_reloaded, some[:-1], 400.0)
    strike(world, worlds.killed, some[-1:], 400.2)
    report = report_of(world)
    assert sorted((one.cause, len(one.losses)) for one in report.incidents) == [
        (Cause.AGENT_CRASHED, 1),
        (Cause.PROXY_RELOADED, 7),
    ]


def idle(one: Gateway, at: float, age_s: float, told: str = "eof") -> None:
    one.account(at, told, "peer")
    one.close(at, "network", "end_of_stream", 1006, age_s)
    one.connect(at + 1.0)


def test_one_gateways_constant_silence_is_enough() -> None:
    """Three times a minute of it, though others behind the proxy end in other ways."""
    world = fleet()
    for turn in range(3):
        idle(world.gateways[2], 400.0 + 61.0 * turn, 60.0)
    for turn, one in enumerate(behind(world)[4:7]):
        idle(one, 405.0 + 33.0 * turn, 7.3 + 11.1 * turn)
    report = report_of(world)
    by_cause = {one.cause: len(one.losses) for one in report.incidents}
    assert by_cause[Cause.PROXY_IDLE] == 4  # one that fell in the same second stands unknown in it
    group = next(i for i in report.incidents if i.cause is Cause.PROXY_IDLE).groups[0]
    assert (group.kind, group.value) == (GroupKind.AGE, "60")


def test_idle_at_one_instant_needs_others_that_stayed() -> None:
    """Four fell silent together and were cut together; the proxy's others were busy."""
    world = fleet()
    for place, one in enumerate(behind(world)[:4]):
        idle(one, 400.0 + place * 0.03, 15.0)
    assert causes(world) == {Cause.PROXY_IDLE}
    assert only(report_of(world)).confidence is Confidence.PROBABLE


def test_a_constant_age_of_the_connection() -> None:
    """Each session is cut an hour after it was opened, busy or not."""
    world = fleet()
    for place, one in enumerate(behind(world)[:4]):
        one.sessions[0] = replace(one.sessions[0], opened_ns=ns(100.0 + 50.0 * place))
        idle(one, 1000.0 + 50.0 * place, 0.1 + 0.13 * place)
    assert causes(world) == {Cause.PROXY_IDLE}
    for one in world.gateways:  # and when nobody measured how long they were silent
        one.sessions = [replace(session, last_message_age_s=None) for session in one.sessions]
    incident = only(report_of(world))
    assert incident.cause is Cause.PROXY_IDLE
    assert GroupKind.AGE not in {group.kind for group in incident.groups}


def test_silences_of_any_length_are_no_time_out() -> None:
    """Four ends, four silences, one after the other and within two seconds."""
    for apart in (30.0, 0.5):
        world = fleet()
        for place, one in enumerate(behind(world)[:4]):
            idle(one, 400.0 + apart * place, 5.0 + 9.0 * place)
        assert causes(world) == {Cause.UNKNOWN}


def test_among_many_ends_three_alike_are_chance() -> None:
    """One in fifteen lies at the same silence anyway."""
    world = fleet(60)
    some = behind(world)
    number = 0
    for _turn in range(3):
        for one in some:
            number += 1
            silence = 20.0 if number % 25 == 0 else 2.0 + number * 0.6
            idle(one, 300.0 + number * 6.0 + number * number % 61, silence)
    assert causes(world) == {Cause.UNKNOWN}


def test_many_at_one_silence_are_certain() -> None:
    """Three gateways, three times each."""
    world = fleet()
    strike(world, worlds.proxy_idle, behind(world)[:3], 400.0)
    incident = only(report_of(world))
    assert (incident.confidence, len(incident.losses)) == (Confidence.CERTAIN, 9)
    assert "60.0 s of silence, as 8 others" in incident.losses[4].proofs[-1].text


# --- the census -----------------------------------------------------------------------------------


def test_who_was_connected_when() -> None:
    """Before, through and after; of what nobody is part of: nobody."""
    census = Census()
    for number in range(4):
        closed = 100 + number if number < 2 else None
        census.add(Session(number, "a", "x", "p", "", 10 * number, closed))
    assert [census.at(FLEET, at) for at in (0, 1, 11, 100, 101, 102)] == [0, 1, 2, 4, 3, 2]
    assert census.through(FLEET, 50, 99) == 4
    assert census.through(FLEET, 50, 101) == 2
    assert census.next_opened(FLEET, 10) == 20
    assert census.next_opened(FLEET, 30) is None
    assert census.at((GroupKind.PROXY, "nobody"), 50) == 0


def test_labels_have_kinds() -> None:
    """The four that are named, and any other."""
    labels = (("feeder", "f1"), ("floor", 2))
    assert list(label_keys(labels)) == [
        (GroupKind.FEEDER, "f1"),
        (GroupKind.LABEL, "floor=2"),
    ]


# --- incidents ------------------------------------------------------------------------------------


def test_churn_of_a_path_is_not_one_fault() -> None:
    """Every few seconds somebody, all evening: each is an incident of its own."""
    world = fleet(500)
    for one in world.gateways:
        one.proxy = ""
        one.labels = {}
        one.sessions[0] = replace(one.sessions[0], proxy="", facts=())
    for place, one in enumerate(world.gateways[:200]):
        worlds.firewall(world, [one], 300.0 + 3.0 * place)
    assert len(report_of(world).incidents) == 200


def test_churn_with_the_same_second_fault_is_not_one_either() -> None:
    """The name server of one region is gone for ten minutes, and sessions are cut as ever."""
    world = fleet(500)
    for one in world.gateways:
        one.proxy = ""
        one.labels = {}
        one.sessions[0] = replace(one.sessions[0], proxy="", facts=())
    for place, one in enumerate(world.gateways[:200]):
        worlds.names_gone(world, [one], 300.0 + 3.0 * place)
    assert len(report_of(world).incidents) == 200


def test_two_at_the_same_instant_and_two_minutes_later() -> None:
    """What shares nothing but the instant is one; later is another."""
    world = fleet(24)
    strike(world, worlds.firewall, [world.gateways[1], world.gateways[6]], 400.0)
    strike(world, worlds.firewall, [world.gateways[11], world.gateways[12]], 412.0)
    strike(world, worlds.firewall, [world.gateways[19]], 424.0)
    assert [len(one.losses) for one in report_of(world).incidents] == [2, 2, 1]


def test_a_fault_strikes_no_longer_than_two_minutes() -> None:
    """Resets ten seconds apart for five minutes are more than one."""
    world = fleet(32)
    for place, one in enumerate(world.gateways[:30]):
        worlds.watchdog(world, [one], 400.0 + 10.0 * place)
    report = report_of(world)
    assert len(report.incidents) > 2
    assert report.losses == 30


def test_centres_refusals_are_each_their_own() -> None:
    """A revoked token concerns one gateway."""
    world = fleet()
    for one in world.gateways[2:8:3]:
        one.close(400.0, "centre", "revoked", 1008)
    assert [len(one.losses) for one in report_of(world).incidents] == [1, 1]


def test_what_nothing_explains_joins_what_it_shares() -> None:
    """A proxy, a node, or a word and an instant; else it stands alone."""
    world = fleet()
    some = behind(world)
    strike(world, worlds.proxy_killed, some[:-1], 400.0)
    some[-1].close(403.0, "network", "end_of_stream")
    incident = only(report_of(world))
    assert {loss.cause for loss in incident.losses} == {Cause.PROXY_FAILED, Cause.UNKNOWN}

    world = fleet()
    there = [one for one in world.gateways if one.node == "a"]
    strike(world, worlds.centre_drained, there[:-1], 400.0)
    there[-1].close(400.0, "agent", "normal", 1000)
    assert len(report_of(world).incidents) == 2  # a goodbye of its own is another thing

    world = fleet()
    strike(world, worlds.firewall, [world.gateways[0], world.gateways[6]], 400.0)
    other = world.gateways[10]
    other.account(400.5, "reset", "peer", 104)
    other.close(400.5, "network", "end_of_stream")
    assert [len(one.losses) for one in report_of(world).incidents] == [3]


def test_everybody_left_is_quiet_though_nobody_said_why() -> None:
    """A goodbye is on purpose."""
    world = fleet()
    world.gateways[3].close(400.0, "agent", "going_away", 1001)
    incident = only(report_of(world))
    assert (incident.cause, incident.quiet) == (Cause.UNKNOWN, True)


def test_an_incident_belongs_to_the_drop_with_most_of_it() -> None:
    """Two falls near in time; none of a series without."""
    world = fleet(24)
    strike(world, worlds.killed, world.of(feeder="f1"), 400.0)
    report = report_of(world)
    assert report.incidents[0].drop == report.drops[0]
    bare = analyse(world.evidence(), (), (), ns(100.0), ns(2000.0), ns(2000.0))
    assert bare.incidents[0].drop is None
    assert isinstance(report.drops[0], Drop)


def test_incidents_of_the_same_second_have_names_of_their_own() -> None:
    """Sixty-six thousand signs, a few hundred gateways: two alike get longer names."""
    world = fleet(1500)
    for one in world.gateways[:700]:
        one.labels = {}
        one.sessions[0] = replace(one.sessions[0], node="a", facts=(), software="")
        one.close(900.0 + one.number * 0.001, "centre", "revoked", 1008)
    names = [one.identity for one in report_of(world, 1000.0).incidents]
    assert len(names) == len(set(names)) == 700
    assert {len(name) for name in names} == {20, 24}


def test_the_proofs_may_be_left_out() -> None:
    """They are most of a large report; the verdicts are the same."""
    world = fleet()
    strike(world, worlds.killed, [world.gateways[3], world.gateways[9]], 400.0)
    lean = analyse(
        world.evidence(), (), (), ns(100.0), ns(2000.0), ns(2000.0), frozenset({"gw-03"})
    )
    proofs = {loss.gateway: bool(loss.proofs) for one in lean.incidents for loss in one.losses}
    assert proofs == {"gw-03": True, "gw-09": False}


def test_dates() -> None:
    """Leap days, centuries, the epoch."""
    assert [stamp(seconds * worlds.S) for seconds in (
        0, 951_782_400, 1_709_164_799, 4_107_542_399, 1_795_403_527,
    )] == [
        "19700101T000000", "20000229T000000", "20240228T235959", "21000228T235959",
        "20261123T031207",
    ]  # fmt: skip
