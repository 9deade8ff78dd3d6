"""A plug pulled without a sag: a power-on reset says so, and no brown-out is made up."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.power import PlainPowerCut


def run(bench: Bench) -> None:
    """Pull the plug."""
    box = box_of(bench, *Board)
    gateway = box.member.gateway
    found = one_incident(bench, PlainPowerCut([box]))
    assert found.incident.cause is Cause.POWER_CUT
    assert found.fields(gateway, "boot_classified")["class"] == "power_cut"
    assert not found.events(gateway, "supply_low"), "a sag that nobody made"
