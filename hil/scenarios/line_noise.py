"""A noisy line: damaged answers become bad readings, never values, and no gateway is lost."""

from hil.bench import Bench
from hil.capability import Capability
from hil.injectors.bus import LineNoise
from hil.stored import Stored

NEEDS = (Capability.PTY,)
GATEWAY = "gw-01"


def run(bench: Bench) -> None:
    """Be noisy for some seconds."""
    bus = bench.stack.buses[GATEWAY]
    spoilt = bus.spoilt
    (entry,) = bench.fault(LineNoise(bus))
    bench.quiet()
    spoilt = bus.spoilt - spoilt
    stored = Stored(bench.stack, GATEWAY)
    readings = stored.readings("counter.answers", entry.began_ns)
    bad = [one for one in readings if one.cause in ("bad_frame", "no_reply")]
    assert spoilt and len(bad) == spoilt, f"{spoilt} answers damaged, {len(bad)} bad readings"
    numbers = [float(one.value) for one in readings if one.value is not None]
    assert numbers == sorted(set(numbers)), "a damaged answer was taken for a value"
    assert not stored.gaps(entry.began_ns), "a gap though nothing was lost"
    assert not bench.told(entry.began_ns).report.incidents, "an incident though nobody was lost"
