"""An adapter pulled out and put back, with the real agent and centre (Must show 4).

Bus 1's adapter goes away (its pty is closed, its by-id link is gone) and comes back as another pty
under the same link. Of bus 1 there must be readings of bad quality with the cause in between, an
event for each change, and good readings within `RESUME_S` of its return; of bus 2 every answer must
be stored and none bad; its longest pause is shown.
"""

import itertools
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.site import wait_for
from tests.two_buses import INTERVAL_S, TwoBuses, missing, two_buses

FULL_S, SHORT_S = 20.0, 3.0
RESUME_S = 2.0
TIMES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pull and return showed. Seconds are by source time."""

    away_s: float
    resumed_s: float
    bad: int
    causes: tuple[str, ...]
    lost: int
    returned: int
    neighbour_missing: int
    neighbour_bad: int
    neighbour_pause_s: float

    @property
    def good(self) -> bool:
        """Whether everything that was promised came true."""
        return (
            self.resumed_s <= RESUME_S
            and self.bad >= 0.8 * self.away_s / INTERVAL_S
            and self.causes == ("port_lost",)
            and self.lost == self.returned == 1
            and self.neighbour_missing == self.neighbour_bad == 0
        )


def boottime_ns() -> int:
    """Return the clock of the source times."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def pull(rig: TwoBuses, away_s: float) -> Outcome:
    """Pull bus 1's adapter, wait, put it back, and look at what was stored."""
    lost, returned = (len(rig.events(kind)) for kind in ("port_lost", "port_returned"))
    gone_ns = boottime_ns()
    rig.unplug(1)
    time.sleep(away_s)
    back_ns = boottime_ns()
    rig.plug(1)

    def resumed() -> list[int]:
        times = [one["source_time_ns"] for one in rig.readings(1) if one["value"] is not None]
        return [at for at in times if at >= back_ns]

    wait_for("readings after the return", lambda: bool(resumed()))
    rig.stored(2, 10)
    wait_for("the event", lambda: len(rig.events("port_returned")) > returned)
    between = [one for one in rig.readings(1) if gone_ns <= one["source_time_ns"] < back_ns]
    bad = [one for one in between if one["value"] is None]
    neighbour = rig.readings(2)
    times = [one["source_time_ns"] for one in neighbour if one["source_time_ns"] >= gone_ns]
    return Outcome(
        away_s=away_s,
        resumed_s=(resumed()[0] - back_ns) / 1e9,
        bad=len(bad),
        causes=tuple(sorted({one["cause"] for one in bad})),
        lost=len(rig.events("port_lost")) - lost,
        returned=len(rig.events("port_returned")) - returned,
        neighbour_missing=len(missing(rig, 2)),
        neighbour_bad=sum(one["value"] is None for one in neighbour),
        neighbour_pause_s=max(b - a for a, b in itertools.pairwise(times)) / 1e9,
    )


def show(outcome: Outcome) -> None:
    """Print the figures."""
    print(
        f"away {outcome.away_s:g} s: {outcome.bad} bad readings ({', '.join(outcome.causes)}), "
        f"good again {outcome.resumed_s:.3f} s after the return (target {RESUME_S:g} s); events "
        f"port_lost {outcome.lost}, port_returned {outcome.returned}; other bus: "
        f"{outcome.neighbour_missing} answers missing, {outcome.neighbour_bad} bad, longest pause "
        f"{outcome.neighbour_pause_s * 1000:.0f} ms at {INTERVAL_S * 1000:.0f} ms",
        flush=True,
    )


def main() -> int:
    """Run the long form; 0 when everything held."""
    outcomes = []
    with tempfile.TemporaryDirectory() as directory, two_buses(Path(directory)) as rig:
        for _ in range(TIMES):
            outcomes.append(pull(rig, FULL_S))
            show(outcomes[-1])
    return int(not all(outcome.good for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
