"""One gateway's supply sags for seconds and is gone: the volts are stored, power is named."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.power import PowerSagThenCut


def run(bench: Bench) -> None:
    """Sag and cut."""
    box = box_of(bench, *Board)
    gateway, nominal = box.member.gateway, box.machine.traits.volts
    found = one_incident(bench, PowerSagThenCut([box]))
    assert found.incident.cause in (Cause.BROWN_OUT, Cause.POWER_CUT)
    lost, following = found.sessions(gateway)
    assert lost.boot_id != following.boot_id, "the boot id did not change"
    low = found.fields(gateway, "supply_low")
    assert float(str(low["volts"])) < 0.95 * nominal, f"the supply was not low: {low}"
    volts = [look.volts for look in found.looks(gateway, lost.boot_id) if look.volts is not None]
    assert min(volts) < 0.88 * nominal, f"the sag was not stored: at least {min(volts):.2f} V"
    assert max(volts) > 0.98 * nominal, "what was before the sag was not stored"
    reboot = found.fields(gateway, "boot_classified")
    assert reboot["class"] in ("brown_out", "power_cut"), reboot
    found.says(gateway, "supply")
