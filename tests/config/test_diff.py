"""What a changed config touches."""

from dataclasses import replace

from gateway.config.agent import (
    AgentSettings,
    BusSettings,
    DeviceSettings,
    MetricsSettings,
    PointSettings,
    SpoolSettings,
    UplinkSettings,
)
from gateway.config.diff import Changes, details, diff
from gateway.config.serial import SerialSettings
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.serial.format import Format, Options

OLD = AgentSettings(
    "g",
    UplinkSettings("wss://c/g"),
    buses=(BusSettings("a", "/dev/a"), BusSettings("b", "/dev/b"), BusSettings("c", "/dev/c")),
)


def test_nothing() -> None:
    """Another revision or another order of the buses restarts nothing."""
    new = replace(OLD, revision="x", buses=OLD.buses[::-1])
    assert diff(OLD, new) == Changes() and not diff(OLD, new)
    assert str(diff(OLD, new)) == "nothing changes"


def test_buses_go_by_name() -> None:
    """A bus that is new, gone or different is named; the others are not."""
    a, b, c = OLD.buses
    new = replace(OLD, buses=(a, replace(b, baud=9600), replace(c, name="d")))
    changes = diff(OLD, new)
    assert (changes.added, changes.removed, changes.changed) == (("d",), ("c",), ("b",))
    assert changes and not changes.uplink and not changes.needs_restart
    assert str(changes) == "bus d starts; bus c stops; bus b restarts"


def test_a_serial_source_is_called_one() -> None:
    """A technician looks for what the file calls it."""
    scale = SerialSettings("scale", "/dev/s", "regex", Format, Options(()), ())
    with_scale = replace(OLD, serials=(scale,))
    assert str(diff(OLD, with_scale)) == "serial scale starts"
    assert str(diff(with_scale, OLD)) == "serial scale stops"
    faster = replace(OLD, serials=(replace(scale, baud=19200),), buses=OLD.buses[:2])
    assert str(diff(with_scale, faster)) == "bus c stops; serial scale restarts"
    moved = replace(OLD, buses=OLD.buses[:2], serials=(replace(scale, name="c"),))
    assert str(diff(OLD, moved)) == "serial c restarts"


def test_the_other_parts() -> None:
    """Each part is told by itself; spool and identity need a restart of the daemon."""
    cases = {
        "uplink": replace(OLD, uplink=UplinkSettings("wss://d/g")),
        "metrics": replace(OLD, metrics=MetricsSettings("")),
        "labels": replace(OLD, labels=(("site", "x"),)),
        "log_level": replace(OLD, log_level="debug"),
        "spool": replace(OLD, spool=SpoolSettings(max_bytes=1 << 30)),
        "identity": replace(OLD, gateway_id="h"),
    }
    for name, new in cases.items():
        changes = diff(OLD, new)
        assert changes == Changes(**{name: True})
        assert changes.needs_restart == (name in ("spool", "identity"))
        assert str(changes) != "nothing changes"


def test_details_key_by_key() -> None:
    """Tables go by name, what changed alike in several points is said once, secrets never."""
    spec = PointSpec("v", Table.INPUT, 0, DataType.U16)
    points = tuple(PointSettings(replace(spec, name=name), 1.0) for name in "vwxyz")
    bus = BusSettings("a", "/dev/a", devices=(DeviceSettings("d", 1, points),))
    old = replace(OLD, buses=(bus, *OLD.buses[1:]), labels=(("site", "n"), ("rack", "3")))
    slower = tuple(replace(point, poll_interval_s=2.5) for point in points)
    device = DeviceSettings(
        "d", 1, (replace(slower[0], spec=replace(spec, scale=0.1)), *slower[1:])
    )
    new = replace(
        old,
        revision="x",
        uplink=replace(old.uplink, proxy="http://user:do-not-show-me@p:1", batch_s=1.0),
        buses=(replace(bus, devices=(device,)), BusSettings("e", "/dev/e")),
        labels=(("site", "s"),),
    )
    assert details(old, old) == ()
    assert details(old, new) == (
        "uplink.proxy: changed",
        "uplink.batch_s: 0 → 1",
        "bus[a].device[d].point[v].scale: 1 → 0.1",
        "bus[a].device[d].point[v, w, x, y, … 5].poll_interval_s: 1 → 2.5",
        "bus[b, c]: removed",
        "bus[e]: added",
        "labels[site]: n → s",
        "labels[rack]: removed",
    )
    assert details(old, replace(old, gateway_id="h", metrics=MetricsSettings(""))) == (
        "gateway.id: g → h",
        "metrics.listen: 127.0.0.1:9464 → not given",
    )
