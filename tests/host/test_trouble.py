"""When a change counts: at once for the worse, after ten quiet seconds for the better."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.event import EventKind
from gateway.host.alarm import UnderVoltage
from gateway.host.link import LinkKind, LinkState
from gateway.host.radio import Level
from gateway.host.sample import LinkSample, Sample
from gateway.host.trouble import CLEAR_S, Change, Watch

OK, UNDER, UNKNOWN = UnderVoltage.OK, UnderVoltage.UNDER, UnderVoltage.UNKNOWN


def look(at_s: float, **fields: object) -> Sample:
    return Sample(int(at_s * 1e9), **fields)


def wire(carrier: bool | None, downs: int | None = None) -> tuple[LinkSample, ...]:
    return (LinkSample("eth0", LinkKind.WIRE, LinkState(carrier, carrier_downs=downs)),)


def wifi(dbm: float | None) -> tuple[LinkSample, ...]:
    level = None if dbm is None else Level("wifi", rssi_dbm=dbm)
    return (LinkSample("wlan0", LinkKind.WIFI, LinkState(True), level),)


def seen(watch: Watch, samples: Iterable[Sample]) -> list[tuple[float, EventKind]]:
    return [
        (sample.source_time_ns / 1e9, change.kind)
        for sample in samples
        for change in watch.see(sample)
    ]


def test_a_sag_is_told_at_once_and_its_end_after_ten_seconds() -> None:
    """Flapping within that time is one trouble."""
    states = [OK, UNDER, OK, UNDER, *(OK,) * 15]
    samples = [look(t, undervoltage=state) for t, state in enumerate(states)]
    assert seen(Watch(None, None), samples) == [
        (1.0, EventKind.SUPPLY_LOW),
        (4.0 + CLEAR_S, EventKind.SUPPLY_RECOVERED),
    ]


def test_volts_below_the_warning() -> None:
    """The warning limit counts where there is one; the event says volts and limit."""
    watch = Watch(22.0, 20.0)
    assert watch.see(look(0, volts=24.0)) == []
    (change,) = watch.see(look(1, volts=21.5))
    assert change == Change(
        EventKind.SUPPLY_LOW,
        True,
        (("undervoltage", "unknown"), ("volts", 21.5), ("limit_v", 22.0)),
    )
    assert watch.low


def test_one_absurd_number_is_the_sensors_mistake() -> None:
    """Two in a row are the supply's."""
    watch = Watch(22.0, 20.0)
    kinds = seen(
        watch,
        [
            look(0, volts=24.0),
            look(1, volts=0.5, suspect=True),
            look(2, volts=24.0),
            look(3, volts=0.5, suspect=True),
            look(4, volts=0.5, suspect=True),
        ],
    )
    assert kinds == [(4.0, EventKind.SUPPLY_LOW)]


def test_unknown_is_no_recovery_of_its_own() -> None:
    """A machine that cannot tell tells nothing."""
    watch = Watch(None, None)
    assert seen(watch, [look(t, undervoltage=UNKNOWN, volts=1.0) for t in range(20)]) == []


def test_a_carrier() -> None:
    """Lost at once; a dip that no look saw is told by the kernel's own count."""
    watch = Watch(None, None)
    samples = [look(0, links=wire(True, 1)), look(1, links=wire(True, 3))]
    samples += [look(t, links=wire(True, 3)) for t in range(2, 14)]
    samples += [look(14, links=wire(False, 4)), look(15, links=())]
    assert seen(watch, samples) == [
        (1.0, EventKind.CARRIER_LOST),
        (12.0, EventKind.CARRIER_RETURNED),
        (14.0, EventKind.CARRIER_LOST),
    ]


def test_a_cable_that_was_never_in() -> None:
    """Only what was there can be lost."""
    watch = Watch(None, None)
    assert seen(watch, [look(t, links=wire(False, 0)) for t in range(5)]) == []


def test_an_interface_that_vanishes() -> None:
    """A modem or adapter unplugged has lost its carrier."""
    watch = Watch(None, None)
    assert seen(watch, [look(0, links=wire(True)), look(1)]) == [(1.0, EventKind.CARRIER_LOST)]


def test_a_radio_may_miss_one_look() -> None:
    """Two in a row are a loss; the kernel's own word counts at once and only once."""
    watch = Watch(None, None)
    levels = [-60.0, None, -60.0, None, None, None]
    assert seen(watch, [look(t, links=wifi(dbm)) for t, dbm in enumerate(levels)]) == [
        (4.0, EventKind.RADIO_LOST)
    ]
    watch = Watch(None, None)
    watch.see(look(0, links=wifi(-60.0)))
    (change,) = watch.disconnected("wlan0", 4, True, 0.5)
    assert change.fields == (("interface", "wlan0"), ("by_ap", True), ("reason", 4))
    assert seen(watch, [look(t, links=wifi(None)) for t in (1, 2, 3)]) == []


def test_limits_can_change() -> None:
    """Another source brings its own; an interface that never carried cannot be gone."""
    watch = Watch(None, None)
    watch.limits(4.8, 4.7)
    assert seen(watch, [look(0, volts=4.75, links=wire(False)), look(1, volts=4.75)]) == [
        (0.0, EventKind.SUPPLY_LOW)
    ]


def test_the_default_route() -> None:
    """Moved is told; gone is trouble."""
    watch = Watch(None, None)
    assert watch.see(look(0, route="eth0")) == []
    (moved,) = watch.see(look(1, route="wwan0"))
    (gone,) = watch.see(look(2, route=""))
    assert (moved.trouble, gone.trouble) == (False, True)
    assert gone.fields == (("from", "wwan0"), ("to", ""))


@given(st.lists(st.sampled_from([OK, UNDER, UNKNOWN]), max_size=200))
def test_trouble_and_recovery_take_turns(states: list[UnderVoltage]) -> None:
    """Whatever the alarm does, events alternate and at most one pair falls into `CLEAR_S`."""
    events = seen(Watch(None, None), [look(t, undervoltage=s) for t, s in enumerate(states)])
    kinds = [kind for _, kind in events]
    assert kinds == [EventKind.SUPPLY_LOW, EventKind.SUPPLY_RECOVERED] * (len(kinds) // 2) + (
        [EventKind.SUPPLY_LOW] * (len(kinds) % 2)
    )
    lows = [at for at, kind in events if kind is EventKind.SUPPLY_LOW]
    assert all(after - before > CLEAR_S for before, after in pairwise(lows))
