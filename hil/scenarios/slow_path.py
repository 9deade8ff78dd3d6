"""A slow path that loses packets: round trips show it, and nobody is lost."""

from hil.bench import Bench
from hil.capability import Capability
from hil.injectors.network import SlowPath

NEEDS = (Capability.TUN,)
GATEWAY = "gw-02"


def run(bench: Bench) -> None:
    """Be slow for some heartbeats."""
    stack = bench.stack
    slow = SlowPath(stack, stack.fleet[GATEWAY], bench.random.getrandbits(32))
    (entry,) = bench.fault(slow)
    bench.quiet()
    assert slow.link.lost and slow.link.carried > 10 * slow.link.lost, "the path was not slow"
    rtt_s = stack.boxes[GATEWAY].metrics()["gateway_uplink_heartbeat_rtt_seconds_sum"]
    assert rtt_s > 2 * 0.4, f"round trips of {rtt_s:.3f} s in all: the path was not slow"
    assert not bench.told(entry.began_ns).report.incidents, "an incident though nobody was lost"
