"""Pins `gateway status`: what needs a look, the layout, the statuses, the history."""

from pathlib import Path

import pytest

from gateway.agent.boot_records import BootRecord, TraceFile, TracePoint, boot_json, trace_json
from gateway.cli.history import history, trace
from gateway.cli.main import main
from gateway.cli.status import lines, troubles
from gateway.errors import RefusedError
from gateway.process.control_messages import (
    BusState,
    DeviceState,
    LinkState,
    ReloadWord,
    SerialState,
    SpoolState,
    Status,
)
from gateway.process.state_file import write_json

GOOD = DeviceState("meter", 3, "acme-one", "good", 0.008, 0.5, 2)
BUS = BusState("b", "/dev/x", 9600, True, "", 0.3, 0.25, 40, devices=(GOOD,))
WELL = Status(
    "site",
    "1.0",
    42,
    "/etc/gateway/gateway.toml",
    "abc",
    100.0,
    True,
    LinkState(True, 90.0, 7, "connected to 192.0.2.1:443, session 7"),
    SpoolState(1, 100, 1 << 30),
    (BUS,),
    readings=1234,
)


def test_all_well_needs_no_look() -> None:
    """Nothing is listed, and the numbers are there."""
    assert troubles(WELL) == []
    text = "\n".join(lines(WELL, colour=False))
    assert "needs a look" not in text and "reload" not in text
    assert "link     up for 1 min" not in text
    assert "link     up for 90.0 s, session 7" in text
    assert "1 records, 100 B of 1.0 GiB wait for the centre" in text
    assert "meter  unit id 3  acme-one  2 points  good  answers in 8 ms" in text
    assert "25% busy (planned 30%)" in text


def test_each_trouble_is_named() -> None:
    """Link, reload, disk, bus and device: each in words, at the end where it is seen."""
    status = Status(
        "site",
        link=LinkState(False, 5.0, 0, "not connected: refused"),
        spool=SpoolState(on_disk=False),
        buses=(
            BusState("gone", reason="does not exist; plug the adapter in"),
            BusState("b", open=True, devices=(DeviceState("m", health="no_reply"),)),
            BusState(
                "full",
                open=True,
                planned=1.34,
                devices=(DeviceState("n", health="device_down", good_age_s=300.0),),
            ),
        ),
        serials=(
            SerialState("out", reason="does not exist; plug the adapter in"),
            SerialState("scale", open=True, health="stale", good_age_s=90.0, silent=True),
            SerialState("ups", open=True, silent=True),
            SerialState("starting"),
        ),
        reload=ReloadWord(False, "abc", "gateway.toml:3: wrong", (), 4.0),
    )
    assert troubles(status) == [
        "link down: not connected: refused",
        "the last reload was refused: gateway.toml:3: wrong",
        "the spool runs from memory: the disk refuses",
        "bus gone: does not exist; plug the adapter in",
        "m: no_reply",
        "bus full: its devices ask for 134% of its time, so polls are left out; raise "
        "poll_interval_s or baud, or choose fewer points",
        "n: device_down, last good reading 5 min 00 s ago",
        "serial out: does not exist; plug the adapter in",
        "scale: stale, last good reading 90.0 s ago",
        "ups: silent",
    ]
    text = "\n".join(lines(status, colour=True))
    assert "refused" in text and "needs a look" in text


def test_a_device_not_read_yet_is_no_trouble() -> None:
    """Right after the start nothing is known of it."""
    status = Status(link=WELL.link, buses=(BusState("b", open=True, devices=(DeviceState("m"),)),))
    assert troubles(status) == []
    assert "not read yet" in "\n".join(lines(status, colour=False))


def test_no_agent_is_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As systemctl says it."""
    assert main(["status", "--socket", str(tmp_path / "none")]) == 3
    assert "no agent listens" in capsys.readouterr().err


def record(number: int, **more: object) -> dict[str, object]:
    """A boot as the agent writes it."""
    fields: dict[str, object] = {
        "number": number,
        "boot_id": f"{number:032x}",
        "reboot": "power_loss",
        "confidence": "high",
        "rule": 9,
        "evidence": ("no clean stop", "supply low until 2 s before"),
        "started_wall_ns": 1_800_000_000_000_000_000,
        "boottime_ns": 20_000_000_000,
        "synced": True,
    }
    return boot_json(BootRecord(**(fields | more)))  # type: ignore[arg-type]


def test_history_has_the_newest_boot_first(tmp_path: Path) -> None:
    """Class, confidence and evidence of each, restarts of the agent within, traces below."""
    boots = [record(1), record(2, restarts=3, crashes=1, last_restart="signal 11", synced=False)]
    write_json(tmp_path / "boots.json", {"format": 1, "boots": boots})
    points = (
        TracePoint(98_000_000_000, 4.91, "no", "wlan0", (("wlan0", True, -61.0),)),
        TracePoint(99_000_000_000, 4.52, "yes", "wlan0", (("wlan0", False, -88.0),)),
    )
    (tmp_path / "traces").mkdir()
    name = "boot-000002-at-0000000100.json"
    kept = TraceFile("supply_low", 2, 100_000_000_000, 1_800_000_000_000_000_000, True, points)
    write_json(tmp_path / "traces" / name, trace_json(kept))
    text = list(history(tmp_path))
    assert text[0] == (
        "boot 2  2027-01-15 08:00:00Z (clock not synchronised)  power_loss (high, rule 9)"
    )
    assert "    supply low until 2 s before" in text
    assert "    the agent was restarted 3 times, 1 of them after a crash: signal 11" in text
    assert text.index("boot 1  2027-01-15 08:00:00Z  power_loss (high, rule 9)") > 1
    assert text[-1].split() == [
        name,
        *["supply_low", "supply", "at", "least", "4.52", "V", "radio", "at", "least", "-88", "dBm"],
    ]
    shown = list(trace(tmp_path, name))
    assert shown[0].startswith("supply_low in boot 2")
    assert shown[-1].split() == ["-1.0", "4.520", "V", "yes", "wlan0", "down", "-88", "dBm"]
    with pytest.raises(RefusedError, match="the newest are boot-000002"):
        list(trace(tmp_path, "../../etc/passwd"))


def test_history_without_a_past(tmp_path: Path) -> None:
    """A first start has nothing to tell; a wrong directory is said."""
    assert "no boot is remembered yet" in next(history(tmp_path))
    with pytest.raises(RefusedError, match="has the agent run here"):
        next(history(tmp_path / "none"))
