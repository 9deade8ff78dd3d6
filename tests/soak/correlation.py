"""The long form of the analysis' laws: thousands of worlds, each with evidence disordered, clocks
wrong, and pieces taken away.

`python -m tests.soak.correlation [worlds] [seed]`; the seed of every world that fails is printed.
"""

import random
import sys
import time

from gateway.correlation.verdict import Cause
from tests.correlation.laws import (
    contradictions,
    disordered,
    drawn_world,
    late_clocks,
    report_of,
    verdicts,
    without,
)
from tests.correlation.worlds import World

WORLDS = 5000


def main(count: int = WORLDS, seed: int | None = None) -> int:
    """Test the laws on many worlds; return how many worlds broke one."""
    first = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"correlation: {count} worlds from seed {first}")
    began, failed, losses, wrong, unknown = time.monotonic(), 0, 0, 0, 0
    for number in range(first, first + count):
        rng = random.Random(number)
        world = drawn_world(rng)
        full, broken = verdicts(world), []
        truth = _truth(world)
        losses += len(full)
        unknown += sum(cause is Cause.UNKNOWN for cause, _ in full.values())
        for key, (cause, sure) in full.items():
            if cause not in (Cause.UNKNOWN, *truth[key[0]]):
                wrong += 1
                print(
                    f"  seed {number}: {key} is {cause} ({sure}), planned {sorted(truth[key[0]])}"
                )
        report = report_of(world)
        if report_of(disordered(world, rng)) != report:
            broken.append("order, delay or duplicates changed the report")
        if _causes(late_clocks(world, rng)) != _causes(world):
            broken.append("a wrong clock moved a cause")
        for share in (0.05, 0.3, 0.7):
            broken += contradictions(full, verdicts(without(world, rng, share)))
        failed += bool(broken)
        for text in broken[:3]:
            print(f"  seed {number}: {text}")
    took = time.monotonic() - began
    print(
        f"  {losses} losses, {unknown} unknown, {wrong} wrong; {failed} worlds broke a law;"
        f" {took:.0f} s"
    )
    return int(failed > 0 or wrong > 0)


def _truth(world: World) -> dict[str, set[Cause]]:
    found: dict[str, set[Cause]] = {one.name: set() for one in world.gateways}
    for truth in world.truths:
        for name in truth.gateways:
            found[name].add(truth.cause)
    return found


def _causes(world: World) -> list[tuple[str, Cause, tuple[str, ...]]]:
    return [
        (one.identity, one.cause, tuple(loss.gateway for loss in one.losses))
        for one in report_of(world).incidents
    ]


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:3]]
    sys.exit(main(*numbers))
