"""What a changed config touches."""

from dataclasses import replace

from gateway.config.agent import (
    AgentSettings,
    BusSettings,
    MetricsSettings,
    SpoolSettings,
    UplinkSettings,
)
from gateway.config.diff import Changes, diff

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
