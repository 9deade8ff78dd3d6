"""A serial adapter is pulled out: readings turn bad with their cause, no gateway is lost."""

from hil.bench import Bench
from hil.capability import Capability
from hil.injectors.bus import PortUnplugged
from hil.stored import Stored

NEEDS = (Capability.PTY,)
GATEWAY = "gw-02"


def run(bench: Bench) -> None:
    """Pull it out, put it back."""
    (entry,) = bench.fault(PortUnplugged(bench.stack.buses[GATEWAY]))
    bench.quiet()
    stored = Stored(bench.stack, GATEWAY)
    readings = stored.readings("counter.answers", entry.began_ns)
    lost = [one for one in readings if one.cause == "port_lost"]
    assert len(lost) >= 3, f"bad readings for the time without a port: {len(lost)}"
    assert all(one.value is None for one in lost), "a value although there was no port"
    assert readings[-1].value is not None, "the last reading is still bad"
    numbers = [float(one.value) for one in readings if one.value is not None]
    assert numbers == sorted(set(numbers)), "a value that the device did not give once, in order"
    kinds = stored.events(entry.began_ns)
    assert kinds.count("port_lost") == 1 and kinds.count("port_returned") == 1, kinds
    assert not bench.told(entry.began_ns).report.incidents, "an incident though nobody was lost"
