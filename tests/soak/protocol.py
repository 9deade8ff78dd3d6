"""The protocol's promises over 1,500 random histories of 400 steps, and the mutants over as many.

`python -m tests.soak.protocol [first seed]`; a failing seed is printed and can be run again.
"""

import sys

from tests.wire.histories import random_history
from tests.wire.model import Broken
from tests.wire.mutants import MUTANTS

HISTORIES = 1500
STEPS = 400


def main(first: int = 0) -> int:
    """Return 1 if a history broke a promise or a mutant survived all of them."""
    broken = stored = made = duplicates = conflicts = sessions = 0
    for seed in range(first, first + HISTORIES):
        try:
            world = random_history(seed, STEPS)
        except Broken as error:
            broken += 1
            print(f"seed {seed}: {error}")
            continue
        made += len(world.uids)
        stored += len(world.stored)
        duplicates += world.duplicates
        conflicts += world.conflicts
        sessions += world.sessions
    print(
        f"{HISTORIES} histories x {STEPS} steps (seeds from {first}): {made} records made, "
        f"{stored} stored, {made - stored} taken by crashes, evictions and changed cards "
        f"(each lies in a gap of the centre, or its epoch never reached the centre at all), "
        f"{duplicates} duplicates dropped, {conflicts} key conflicts, {sessions} sessions, "
        f"{broken} histories broken (target 0)"
    )
    survivors = 0
    for mutant in MUTANTS:
        caught = next((s for s in range(first, first + HISTORIES) if _catches(s, mutant)), None)
        survivors += caught is None
        print(f"mutant {mutant.__name__}: " + (f"seed {caught}" if caught is not None else "ALIVE"))
    return 1 if broken or survivors else 0


def _catches(seed: int, mutant: type) -> bool:
    try:
        random_history(seed, STEPS, mutant())
    except Broken:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
