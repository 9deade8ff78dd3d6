"""Tests of the words."""

from gateway.correlation.checks import CHECKS, HELD_CHECKS, MEANING
from gateway.correlation.story import Story, group_words, headline, tell, verdict
from gateway.correlation.verdict import QUIET, Cause, Drop, Group, GroupKind, HeldBy, Incident
from tests.correlation import worlds
from tests.correlation.test_analysis import only, report_of
from tests.correlation.worlds import fleet, ns, strike


def story_of(fault: worlds.Fault, size: int = 4) -> tuple[Incident, Story]:
    """Return the incident of a fault of a feeder, told."""
    world = fleet(24)
    strike(world, fault, world.of(feeder="f2")[:size], 400.0)
    incident = only(report_of(world))
    return incident, tell(incident)


def test_every_cause_and_hold_has_words_and_advice() -> None:
    """What is on purpose needs no advice; everything else does."""
    assert set(MEANING) == set(CHECKS) == set(Cause)
    assert set(HELD_CHECKS) == set(HeldBy)
    assert {cause for cause, checks in CHECKS.items() if not checks} == set(QUIET)


def test_the_headline_says_who_and_why() -> None:
    """How many of which group, how sure."""
    incident, story = story_of(worlds.sag_then_cut)
    assert story.headline == (
        "4 gateways of feeder f2 (4 of 4) lost: its supply sagged and it reset (probable)"
    )
    one, told = story_of(worlds.killed, 1)
    assert told.headline == "gw-08 lost: the daemon died; the kernel went on (certain)"
    assert headline(one) == told.headline
    assert [line.gateway for line in told.timeline if line.text.startswith("lost")] == ["gw-08"]
    assert story.checks[0].startswith("the supply under load")
    assert incident.losses == tuple(one.loss for one in story.gateways)


def test_unknown_and_pending_are_said() -> None:
    """Who is not back, who has not told, who has no cause."""
    world = fleet()
    strike(world, worlds.power_cut, world.of(feeder="f1"), 400.0)
    dumb = world.of(feeder="f1")[2]
    dumb.sessions, dumb.runs = dumb.sessions[:1], dumb.runs[:1]
    incident = only(report_of(world))
    assert headline(incident).endswith(
        "(probable); 1 for no known cause, 1 not back yet, "
        "1 judged without what they saw themselves"
    )
    lost = next(loss for loss in incident.losses if loss.pending)
    assert verdict(lost) == (
        "the evidence does not say; not back yet; pending: it has not told its side yet"
    )
    alone = fleet()
    strike(alone, worlds.unclean, alone.gateways[2:3], 400.0)
    alone.gateways[2].sessions = alone.gateways[2].sessions[:1]
    alone.gateways[2].runs = alone.gateways[2].runs[:1]
    story = tell(only(report_of(alone)))
    assert story.headline.startswith("gw-02 lost: the evidence does not say; 1 not back yet")
    assert story.checks == CHECKS[Cause.UNKNOWN]


def test_the_timeline_is_in_order_with_the_series_beside() -> None:
    """The fall of the gauge, what decided, who was lost and back; undated lines last."""
    incident, story = story_of(worlds.wifi_fades)
    times = [line.at_ns for line in story.timeline if line.at_ns is not None]
    assert times == sorted(times)
    texts = [line.text for line in story.timeline]
    assert "connections began to fall from 24" in texts
    assert "connections were fewest: 20" in texts
    assert "connections were as many as before" in texts
    assert "back, held by dns until then" in texts
    assert any(text.startswith("host: radio lost") for text in texts)
    assert incident.drop is not None


def test_a_hidden_dip_is_told_as_one() -> None:
    """The gauge showed nothing."""
    incident, _ = story_of(worlds.killed)
    hidden = Drop(ns(1), ns(2), ns(2), 24, 20, hidden=True)
    told = tell(worlds.replace(incident, drop=hidden))
    assert told.timeline[0].text == ("of 24 connections 4 ended and came back between two samples")
    lasting = tell(worlds.replace(incident, drop=Drop(ns(1), ns(2), None, 24, 20)))
    assert "connections were as many as before" not in [line.text for line in lasting.timeline]
    assert tell(worlds.replace(incident, drop=None)).timeline[0].text != told.timeline[0].text


def test_many_losses_are_told_by_the_first_and_the_last() -> None:
    """What one gateway alone showed is in its own story."""
    world = fleet(32)
    behind = [one for one in world.gateways if one.proxy == worlds.PROXIES[0]]
    strike(world, worlds.proxy_killed, behind, 400.0)
    incident = only(report_of(world))
    texts = [line.text for line in tell(incident).timeline]
    assert "the first of 16 was lost" in texts
    assert "16 of 16 were back" in texts
    assert any(text.startswith("centre: proxy 10.0.0.1 cut all 16") for text in texts)
    away = worlds.replace(
        incident, losses=tuple(worlds.replace(one, returned_ns=None) for one in incident.losses)
    )
    assert "the first was back" not in [line.text for line in tell(away).timeline]


def test_what_each_of_many_showed_is_not_in_the_timeline() -> None:
    """Sixteen boots say sixteen things; each stands in its gateway's own story."""
    world = fleet(16)
    strike(world, worlds.power_cut, world.gateways, 400.0)
    story = tell(only(report_of(world)))
    assert not any("says of its start" in line.text and line.gateway for line in story.timeline)
    assert all(any("power_cut" in p.text for p in one.proofs) for one in story.gateways)


def test_advice_for_causes_of_a_few_follows() -> None:
    """Of two causes in one incident the other one's advice is there too, each line once."""
    incident, _ = story_of(worlds.sag_then_cut)
    mixed = worlds.replace(
        incident,
        losses=(
            worlds.replace(incident.losses[0], cause=Cause.POWER_CUT, held_by=HeldBy.DNS),
            *incident.losses[1:3],
            worlds.replace(incident.losses[3], cause=Cause.UNKNOWN),
        ),
    )
    checks = tell(mixed).checks
    assert len(checks) == len(set(checks))
    assert checks[:3] == CHECKS[Cause.BROWN_OUT]
    assert set(CHECKS[Cause.POWER_CUT]) | set(HELD_CHECKS[HeldBy.DNS]) <= set(checks)


def test_what_a_group_is_called() -> None:
    """Each kind in words."""
    said = [
        group_words(Group(kind, value, 3, 4))
        for kind, value in (
            (GroupKind.FLEET, ""),
            (GroupKind.AGE, "60"),
            (GroupKind.LABEL, "floor=2"),
            (GroupKind.ACCESS_POINT, "ap-7"),
        )
    ]
    assert said == [
        "the fleet (3 of 4)", "age 60 s (3 of 4)", "floor=2 (3 of 4)", "access point ap-7 (3 of 4)",
    ]  # fmt: skip
