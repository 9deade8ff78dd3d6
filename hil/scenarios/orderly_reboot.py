"""`systemctl reboot`: named, and not alarmed."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.boot import OrderlyReboot


def run(bench: Bench) -> None:
    """Reboot."""
    box = box_of(bench, *Board)
    gateway = box.member.gateway
    found = one_incident(bench, OrderlyReboot(box))
    assert found.incident.cause is Cause.ORDERLY_REBOOT and found.incident.quiet
    lost, following = found.sessions(gateway)
    assert lost.boot_id != following.boot_id, "the boot id did not change"
    assert found.fields(gateway, "boot_classified")["class"] == "orderly_reboot"
    assert found.events(gateway, "agent_stopping"), "that it was stopping was not stored"
