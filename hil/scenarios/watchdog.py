"""A hang and the hardware watchdog's reset: its register is the evidence."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.boot import WatchdogReset


def run(bench: Bench) -> None:
    """Hang a board whose watchdog says so."""
    box = box_of(bench, Board.PC, Board.PI_5)
    gateway = box.member.gateway
    found = one_incident(bench, WatchdogReset(box))
    assert found.incident.cause is Cause.WATCHDOG
    reboot = found.fields(gateway, "boot_classified")
    assert reboot["class"] == "watchdog_reset" and reboot["confidence"] == "certain", reboot
    found.says(gateway, "watchdog")
