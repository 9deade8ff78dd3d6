"""The drivers' process: ``python -m hil.driver_process --plan FILE``.

Owns nothing but the conversation with whoever started it, one JSON object a line: ``{}`` asks how
the drivers are, ``{"quiet": [ids]}`` and ``{"loud": [ids]}`` stop and start their readings. All
leave in order when standard input ends.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from gateway.agent.metrics import Metrics
from hil.driver import Driver
from hil.driver_session import Plan


async def serve(plans: list[Plan]) -> None:
    """Run the drivers until standard input ends."""
    metrics = Metrics()
    drivers = {plan.gateway: Driver(plan, metrics) for plan in plans}
    async with asyncio.TaskGroup() as group:
        for name, driver in drivers.items():
            group.create_task(driver.run(), name=f"driver[{name}]")
        while line := await asyncio.to_thread(sys.stdin.readline):
            wish = json.loads(line)
            for key, quiet in (("quiet", True), ("loud", False)):
                for name in wish.get(key, ()):
                    drivers[name].quiet = quiet
            state = {
                name: [driver.connected, driver.made, driver.acked]
                for name, driver in drivers.items()
            }
            print(json.dumps(state), flush=True)
        for driver in drivers.values():
            driver.leave()


def main() -> int:
    """Entry of the drivers' own process."""
    parser = argparse.ArgumentParser(prog="python -m hil.driver_process")
    parser.add_argument("--plan", type=Path, required=True, help="JSON list of plans")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    found = json.loads(args.plan.read_text("utf-8"))
    plans = [
        Plan(**(item | {"labels": tuple((n, v) for n, v in item["labels"])})) for item in found
    ]
    asyncio.run(serve(plans))
    return 0


if __name__ == "__main__":
    sys.exit(main())
