"""kill -9 of the daemon: a crash of the agent, and not of the gateway."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.boot import AgentKilled


def run(bench: Bench) -> None:
    """Kill it; systemd starts it again."""
    box = box_of(bench, *Board)
    gateway = box.member.gateway
    found = one_incident(bench, AgentKilled(box))
    assert found.incident.cause is Cause.AGENT_CRASHED
    lost, following = found.sessions(gateway)
    assert lost.boot_id == following.boot_id, "the boot id changed"
    started = found.fields(gateway, "boot_classified")
    assert started["class"] == "daemon_crash", started
    assert "signal killed KILL" in str(started["evidence"]), started
