"""A clock a month slow after a power cut: the cut is the cause, the clock kept it away."""

from gateway.correlation.verdict import Cause, HeldBy
from hil.bench import Bench
from hil.boards import Board
from hil.capability import Capability
from hil.found import box_of, one_incident
from hil.injectors.clock import SLOW_S, WrongClock

NEEDS = (Capability.CC,)
AN_HOUR_NS = 3_600_000_000_000


def run(bench: Bench) -> None:
    """Cut; boot with the wrong clock; reach a time server."""
    box = box_of(bench, *Board)
    gateway = box.member.gateway
    found = one_incident(bench, WrongClock(box))
    assert found.incident.cause is Cause.POWER_CUT
    assert found.loss(gateway).held_by is HeldBy.CLOCK
    failed = found.fields(gateway, "connect_failed")
    assert failed["cause"] == "tls_clock" and failed["code"] == 9, failed
    stepped = found.fields(gateway, "clock_stepped")
    assert abs(float(str(stepped["step_s"])) + SLOW_S) < 60, stepped
    # Nothing of the wrong clock may move the incident.
    assert abs(found.incident.started_ns - found.entry.began_ns) < AN_HOUR_NS
    for boot in found.told.of(gateway).boots:
        best = max(boot.anchors, key=lambda one: (one.source, one.boottime_ns))
        assert boot.offset_ns is not None
        off_ns = best.wall_ns - best.boottime_ns - boot.offset_ns
        assert abs(off_ns) < AN_HOUR_NS, f"the best anchor is {off_ns / 1e9:.0f} s off"
