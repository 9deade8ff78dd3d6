"""Packets vanish without a word: the path is named, and no reading is lost over it."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.fleet import Kind
from hil.found import one_incident
from hil.injectors.network import HalfOpen
from hil.stored import Stored


def run(bench: Bench) -> None:
    """Swallow everything of an agent and a driver."""
    fleet = bench.stack.fleet
    agent = bench.random.choice(fleet.where(kind=Kind.AGENT))
    driver = bench.random.choice(fleet.where(kind=Kind.DRIVER, quiet=False))
    found = one_incident(bench, HalfOpen(bench.stack, [agent, driver]))
    assert found.incident.cause is Cause.PATH_DEAD
    ended = found.fields(agent.gateway, "session_ended")
    assert ended["cause"] in ("half_open", "path_timeout"), ended
    stored = Stored(bench.stack, driver.gateway)
    counts = [one.value for one in stored.readings("bench.count", found.entry.began_ns)]
    numbers = [int(float(str(value))) for value in counts]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a reading is missing"
    assert not stored.gaps(found.entry.began_ns), "a gap"
