"""One look at seven machines (`tests/golden/host`), and at trees of garbage."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.agent import host_evidence
from gateway.agent.sampler import Sampler
from gateway.config.host import HostSettings
from gateway.host.alarm import UnderVoltage
from gateway.host.nut import UpsReading
from gateway.host.radio import Level
from gateway.host.sample import Sample
from gateway.host.supply import SupplyKind
from tests.agent.host_fakes import RecordedNetlink, SetClock, SilentNetlink, probes, write
from tests.host.golden import GOLDEN

BOARDS = ["pi-3", "pi-4", "pi-5", "zero-2-w", "x86-ina226", "battery", "nothing"]
PLAIN = HostSettings()


def firmware_of(board: str) -> dict[str, bytes]:
    path = GOLDEN / board / "firmware.toml"
    replies = tomllib.loads(path.read_text()) if path.exists() else {}
    return {command: text.encode() for command, text in replies.items()}


def sampler_of(
    board: str, settings: HostSettings = PLAIN, netlink: SilentNetlink | None = None
) -> Sampler:
    seams = probes(GOLDEN / board / "root", firmware_of(board), netlink=netlink)
    return Sampler(settings, seams, SetClock())


def test_the_boards_are_those_that_are_there() -> None:
    """Every tree is in the table and names the source of its values."""
    assert {path.name for path in GOLDEN.iterdir() if path.is_dir()} == set(BOARDS)
    for board in BOARDS:
        assert "| value | source |" in (GOLDEN / board / "README.md").read_text()


@pytest.mark.parametrize("board", BOARDS)
def test_board(board: str) -> None:
    """What is read of a board's tree is exactly what is written down for it."""
    expected: dict[str, Any] = tomllib.loads((GOLDEN / board / "expected.toml").read_text())
    sampler = sampler_of(board)
    sample = sampler.sample()
    choice = sampler.choice
    assert ("none" if choice.source is None else choice.source.name) == expected["supply"]
    assert sample.volts == (pytest.approx(expected["volts"]) if "volts" in expected else None)
    assert ("none" if choice.alarm is None else choice.alarm.kind.value) == expected["alarm"]
    assert sample.undervoltage.value == expected["undervoltage"]
    assert not sample.suspect
    assert sample.celsius == expected.get("celsius")
    assert sample.route == expected["route"]
    assert choice.alarm_note == expected.get("note", choice.alarm_note)
    assert set(expected.get("rejected", ())) <= set(choice.rejected)
    if "throttled" in expected:
        # A counter takes two looks to say anything.
        assert [sample.throttled, sampler.sample().throttled][-1] is expected["throttled"]
    links = {link.name: link for link in sample.links}
    assert set(links) == set(expected["links"])
    for name, wanted in expected["links"].items():
        link = links[name]
        level = None if link.level is None else link.level.dbm
        assert (link.kind.value, level) == (wanted["kind"], wanted.get("dbm"))
        assert link.state.carrier is wanted["carrier"]
        for key in wanted.keys() & {"carrier_downs", "errors", "speed_mbit"}:
            assert getattr(link.state, key) == wanted[key]


def test_limits_of_a_pi_5_are_known() -> None:
    """Its 5 V has limits without a config; nobody guesses those of a 12 or 24 V feed."""
    pi5, x86 = sampler_of("pi-5"), sampler_of("x86-ina226")
    for sampler in (pi5, x86):
        sampler.sample()
    assert pi5.limits_v == (4.80, 4.70)
    assert x86.limits_v == (None, None)
    low = sampler_of("x86-ina226", HostSettings(supply_warn_v=25.0, supply_crit_v=24.5))
    assert low.sample().undervoltage is UnderVoltage.UNDER


def test_wifi_comes_from_nl80211_where_it_answers() -> None:
    """The kernel's answer stands before /proc/net/wireless; an implausible one is none."""
    netlink = RecordedNetlink()
    sampler = sampler_of("pi-3", netlink=netlink)
    level = sampler.sample().link("wlan0")
    assert level is not None and level.level == Level("wifi", rssi_dbm=-67.0)
    assert netlink.groups == [8]
    netlink.signal_dbm = 0
    fallen = sampler.sample().link("wlan0")
    # The average is still a level.
    assert fallen is not None and fallen.level == Level("wifi", rssi_dbm=-65.0)
    netlink.mute = True
    muted = sampler.sample().link("wlan0")
    assert muted is not None and muted.level == Level("wifi", rssi_dbm=-56.0)


def test_a_point_of_a_bus_as_the_supply() -> None:
    """Its last value counts, with the ratio, until it is older than half a minute."""
    clock = SetClock()
    seams = probes(GOLDEN / "nothing/root")
    settings = HostSettings(supply="dc-meter.voltage", supply_ratio=2.0, supply_crit_v=20.0)
    sampler = Sampler(settings, seams, clock)
    assert sampler.sample().volts is None
    sampler.point(12.0)
    sample = sampler.sample()
    assert (sample.volts, sample.undervoltage) == (24.0, UnderVoltage.OK)
    clock.pass_s(31.0)
    stale = sampler.sample()
    assert (stale.volts, stale.undervoltage) == (None, UnderVoltage.UNKNOWN)
    sampler.point(None)
    assert sampler.sample().volts is None


def test_what_the_modem_hears_goes_stale() -> None:
    """A modem that stopped answering is not remembered for ever."""
    clock = SetClock()
    sampler = Sampler(PLAIN, probes(GOLDEN / "pi-5/root", firmware_of("pi-5")), clock)
    sampler.mobile({"wwan0": Level("lte", rsrp_dbm=-95.0, rsrq_db=-11.0)})

    def wwan0(sample: Sample) -> float | None:
        link = sample.link("wwan0")
        return None if link is None or link.level is None else link.level.dbm

    assert wwan0(sampler.sample()) == -95.0
    clock.pass_s(91.0)
    assert wwan0(sampler.sample()) is None


def test_a_jump_is_suspect_and_no_alarm(tmp_path: Path) -> None:
    """One number that is half of the one before is recorded, but moves no state."""
    write(
        tmp_path,
        {"/sys/class/hwmon/hwmon0/name": "ina226", "/sys/class/hwmon/hwmon0/in1_input": "24000"},
    )
    sampler = Sampler(HostSettings(supply_crit_v=20.0), probes(tmp_path), SetClock())
    assert sampler.sample().undervoltage is UnderVoltage.OK
    write(tmp_path, {"/sys/class/hwmon/hwmon0/in1_input": "9000"})
    sample = sampler.sample()
    assert (sample.volts, sample.suspect) == (9.0, True)
    assert sample.undervoltage is UnderVoltage.UNKNOWN
    assert sampler.sample().undervoltage is UnderVoltage.UNDER


def test_sources_are_looked_for_again(tmp_path: Path) -> None:
    """A sensor that appears later is found within a minute, and told once."""
    clock, told = SetClock(), []
    sampler = Sampler(PLAIN, probes(tmp_path), clock)
    sampler.on_choice = told.append
    assert sampler.sample().volts is None
    write(
        tmp_path,
        {"/sys/class/hwmon/hwmon0/name": "ina226", "/sys/class/hwmon/hwmon0/in1_input": "24000"},
    )
    clock.pass_s(61.0)
    assert sampler.sample().volts == 24.0
    clock.pass_s(61.0)
    sampler.sample()
    assert [choice.source is not None for choice in told] == [False, True]


def test_the_deprecated_file_is_not_touched_beside_the_driver() -> None:
    """Reading it makes the kernel warn: beside rpi_volt or the firmware's word it stays unread."""
    root = GOLDEN / "zero-2-w/root"
    assert (root / "sys/devices/platform/soc/soc:firmware/get_throttled").exists()
    found = host_evidence.sources(probes(root, firmware_of("zero-2-w")))
    assert not any(path.endswith("firmware/get_throttled") for path in found)


@settings(max_examples=25)
@given(data=st.data())
def test_trees_of_garbage(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes in any file of a real tree give a look, never an exception."""
    board = data.draw(st.sampled_from(BOARDS))
    root = tmp_path_factory.mktemp("host") / "root"
    shutil.copytree(GOLDEN / board / "root", root)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    for path in data.draw(st.lists(st.sampled_from(paths), max_size=12)):
        path.write_bytes(data.draw(st.binary(max_size=200)))
    replies = {command: data.draw(st.binary(max_size=80)) for command in firmware_of(board)}
    sampler = Sampler(PLAIN, probes(root, replies), SetClock())
    for _ in range(2):
        sample = sampler.sample()
        assert len(sample.links) <= host_evidence.MAX_LINKS
    host_evidence.boot(probes(root, replies))
    shutil.rmtree(root)


def test_a_ups_as_the_supply() -> None:
    """Its volts, mains or none, and its word on the feed; silence is unknown, not good."""
    clock = SetClock()
    settings = HostSettings(supply="nut:ups@localhost", supply_crit_v=200.0)
    sampler = Sampler(settings, probes(GOLDEN / "nothing/root"), clock)
    first = sampler.sample()
    assert (first.volts, first.undervoltage) == (None, UnderVoltage.UNKNOWN)
    assert sampler.choice.source is not None and sampler.choice.source.kind is SupplyKind.NUT
    sampler.ups(UpsReading(230.4, UnderVoltage.OK))
    on_line = sampler.sample()
    assert (on_line.volts, on_line.suspect, on_line.undervoltage) == (
        230.4,
        False,
        UnderVoltage.OK,
    )
    sampler.ups(UpsReading(0.0, UnderVoltage.UNDER))
    for _ in range(2):
        on_battery = sampler.sample()
        assert (on_battery.volts, on_battery.undervoltage) == (0.0, UnderVoltage.UNDER)
    assert not on_battery.suspect
    sampler.ups(UpsReading(fault="upsd: refused"))
    assert sampler.sample().undervoltage is UnderVoltage.UNKNOWN
    sampler.ups(UpsReading(230.4, UnderVoltage.OK))
    clock.pass_s(16.0)
    assert sampler.sample().volts is None


def test_a_named_meter_may_measure_the_mains() -> None:
    """A UPS's input over Modbus has 230 V; what is found by itself must be a gateway's feed."""
    settings = HostSettings(supply="ups.input_voltage")
    sampler = Sampler(settings, probes(GOLDEN / "nothing/root"), SetClock())
    sampler.point(230.0)
    assert not sampler.sample().suspect
    sampler.point(9999.0)
    assert sampler.sample().suspect


def test_an_alarm_that_rang_is_in_the_next_look() -> None:
    """Though it is over by then; once."""
    sampler = sampler_of("pi-4")
    assert sampler.sample().undervoltage is UnderVoltage.OK
    sampler.alarm_rang()
    assert sampler.sample().undervoltage is UnderVoltage.UNDER
    assert sampler.sample().undervoltage is UnderVoltage.OK
    without = sampler_of("nothing")
    without.sample()
    without.alarm_rang()
    assert without.sample().undervoltage is UnderVoltage.UNKNOWN


def test_an_alarm_that_moved_is_found_again(tmp_path: Path) -> None:
    """A driver that was loaded anew has another number; the voltage alone does not hide it."""
    clock = SetClock()
    files = {
        "/sys/class/hwmon/hwmon0/name": "ina226",
        "/sys/class/hwmon/hwmon0/in1_input": "5100",
        "/sys/class/hwmon/hwmon1/name": "rpi_volt",
        "/sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0",
    }
    write(tmp_path, files)
    sampler = Sampler(PLAIN, probes(tmp_path), clock)
    assert sampler.sample().undervoltage is UnderVoltage.OK
    (tmp_path / "sys/class/hwmon/hwmon1").rename(tmp_path / "sys/class/hwmon/hwmon2")
    assert sampler.sample().undervoltage is UnderVoltage.UNKNOWN
    clock.pass_s(61.0)
    assert sampler.sample().undervoltage is UnderVoltage.OK
