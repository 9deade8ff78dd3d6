"""The bench's machines must read as what they are meant to be, by the agent's own readers."""

from pathlib import Path

import pytest

from gateway.agent import host_evidence
from gateway.agent.probes import Probes
from gateway.agent.wifi import Wifi
from gateway.host import firmware, link
from gateway.host.alarm import UnderVoltage, alarm_state
from gateway.host.boot_evidence import FileSystems
from gateway.host.link import LinkKind
from gateway.host.reboot import LastSeen, Memory, Phase, RebootClass, classify
from gateway.host.shutdown import IS_RUNNING, LIST_JOBS, stopping_for
from gateway.host.supply import SupplyKind, Wanted, choose
from hil.agent_process import MachineClock, probes
from hil.boards import TRAITS, Board, Reset
from hil.machine import BOOT_S, CLOCK_FILE, SEAMS, Machine, board_of


def machine(tmp_path: Path, board: Board) -> tuple[Machine, Probes]:
    """Return a fresh machine and the ways to it."""
    made = Machine(tmp_path / "host", board, "gw-01", seed=1)
    made.make()
    return made, probes(tmp_path / "host")


def volts_of(ways: Probes) -> float | None:
    """Read the supply as the sampler does."""
    source = choose(host_evidence.sources(ways), Wanted()).source
    assert source is not None
    if source.kind is SupplyKind.PMIC:
        return source.volts(ways.firmware(firmware.READ_SUPPLY))
    return source.volts(ways.files.read(source.path))


@pytest.mark.parametrize("board", Board)
def test_the_supply_is_found_and_follows(board: Board, tmp_path: Path) -> None:
    """Every board's voltage is found by `auto` and moves with the bench's."""
    made, ways = machine(tmp_path, board)
    assert volts_of(ways) == pytest.approx(TRAITS[board].volts)
    made.supply_v(4.2)
    assert volts_of(ways) == pytest.approx(4.2)


@pytest.mark.parametrize("board", [Board.PI_4, Board.PI_5])
def test_the_alarm_trips_where_the_comparator_does(board: Board, tmp_path: Path) -> None:
    """A Pi's bit is set below 4.63 V and clear above."""
    made, ways = machine(tmp_path, board)
    alarm = choose(host_evidence.sources(ways), Wanted()).alarm
    assert alarm is not None
    for volts, state in ((4.64, UnderVoltage.OK), (4.62, UnderVoltage.UNDER)):
        made.supply_v(volts)
        assert alarm_state(alarm, ways.files.read(alarm.path)) is state


@pytest.mark.parametrize("board", Board)
def test_the_link_can_be_lost_pulled_out_and_put_back(board: Board, tmp_path: Path) -> None:
    """Carrier, interface and default route go and come together."""
    made, ways = machine(tmp_path, board)
    name = TRAITS[board].interface
    kind = LinkKind.WIFI if TRAITS[board].wifi else LinkKind.WIRE

    def seen() -> tuple[list[tuple[str, LinkKind]], bool | None, str]:
        base = f"{host_evidence.NET}/{name}"
        state = link.link_state({f: ways.files.read(f"{base}/{f}") for f in link.FILES})
        route = link.default_route(ways.files.read(link.ROUTE_PATH), None)
        return host_evidence.links(ways.files), state.carrier, route

    assert seen() == ([(name, kind)], True, name)
    made.link(False)
    assert seen() == ([(name, kind)], False, "")
    made.link(True)
    made.unplug()
    assert seen() == ([], None, "")
    made.plug()
    assert seen() == ([(name, kind)], True, name)


def test_the_radio_speaks_nl80211(tmp_path: Path) -> None:
    """Level and disconnection come through the agent's own netlink reader."""
    made, ways = machine(tmp_path, Board.PI_4)
    wifi = Wifi(ways.netlink, ways.files)
    made.radio_dbm(-73)
    assert wifi.levels()["wlan0"].dbm == -73
    assert wifi.disconnections() == []
    made.radio_lost(reason=4)
    assert wifi.levels() == {}
    ((name, told),) = wifi.disconnections()
    assert (name, told.reason, told.by_ap) == ("wlan0", 4, False)
    assert wifi.disconnections() == []


RESETS = [
    (Board.PI_4, Reset.POWER_ON, RebootClass.POWER_CUT),
    (Board.PI_5, Reset.POWER_ON, RebootClass.POWER_CUT),
    (Board.PC, Reset.POWER_ON, RebootClass.POWER_CUT),
    (Board.PI_4, Reset.WATCHDOG, RebootClass.UNCLEAN_WARM_RESET),
    (Board.PI_5, Reset.WATCHDOG, RebootClass.WATCHDOG_RESET),
    (Board.PC, Reset.WATCHDOG, RebootClass.WATCHDOG_RESET),
    (Board.PC, Reset.WARM, RebootClass.UNCLEAN_UNKNOWN),
]


@pytest.mark.parametrize(("board", "reset", "reboot"), RESETS)
def test_a_reset_leaves_what_its_board_can_tell(
    board: Board, reset: Reset, reboot: RebootClass, tmp_path: Path
) -> None:
    """No board tells more than it can: a Pi 4's watchdog looks like any warm reset."""
    made, ways = machine(tmp_path, board)
    first = host_evidence.boot(ways)
    memory = Memory(first.boot_id, Phase.RUNNING, power_reset=first.power_reset, disks=first.disks)
    made.boot(reset, clean=False)
    second = host_evidence.boot(ways)
    assert second.boot_id != first.boot_id
    assert second.file_systems is FileSystems.UNCLEAN
    assert classify(second, memory, LastSeen()).reboot is reboot


def test_a_panic_is_in_pstore(tmp_path: Path) -> None:
    """The dump outlives the reset and is fresh."""
    made, ways = machine(tmp_path, Board.PI_4)
    memory = Memory(host_evidence.boot(ways).boot_id, Phase.RUNNING)
    made.boot(Reset.WARM, clean=False)
    made.crash_dump("Fatal exception")
    verdict = classify(host_evidence.boot(ways), memory, LastSeen())
    assert verdict.reboot is RebootClass.KERNEL_PANIC


def test_systemd_says_what_it_stops_for(tmp_path: Path) -> None:
    """A running system, one that reboots, and a booted one again."""
    made, ways = machine(tmp_path, Board.PC)

    def target() -> str | None:
        return stopping_for(ways.program(IS_RUNNING, 1.0), ways.program(LIST_JOBS, 1.0))

    assert target() is None
    made.stopping("poweroff")
    assert target() == "poweroff"
    made.boot(Reset.WARM, clean=True)
    assert target() is None


def test_a_boot_starts_the_clock_anew(tmp_path: Path) -> None:
    """Boottime restarts near zero; the wall clock is as wrong as it is made, live."""
    made, _ = machine(tmp_path, Board.PI_4)
    clock = MachineClock(tmp_path / "host" / SEAMS / CLOCK_FILE)
    true_ns = clock.wall_ns()
    assert BOOT_S <= clock.now() < BOOT_S + 30
    made.boot(Reset.POWER_ON, clean=False, synced=False, wall_off_s=-7200.0)
    assert BOOT_S <= clock.now() < BOOT_S + 30
    assert clock.wall_ns() - true_ns == pytest.approx(-7200e9, abs=30e9)
    made.wall(0.0, synced=True)
    assert clock.wall_ns() - true_ns == pytest.approx(0, abs=30e9)


def test_every_board_is_on_the_bench() -> None:
    """Eight agents have all kinds of hardware among them."""
    assert {board_of(number) for number in range(1, 9)} == set(Board)
