"""The analysis of a generated day in a process of its own: time, memory and verdicts as JSON.

python -m tests.bench._day_child FROM_NS TO_NS STORE...
"""

import gc
import json
import sys
import time
from pathlib import Path

from gateway.centre.store.evidence_reader import Evidence
from gateway.correlation.analysis import analyse


def peak_mib() -> float:
    """Return the most memory this process had. Not `ru_maxrss`: that survives an exec, so that a
    child's begins at its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status: no VmHWM")


def analyse_day(from_ns: int, to_ns: int, paths: list[str]) -> None:
    """Analyse and print."""
    gc.disable()  # as `gateway drops` does
    began, cpu = time.monotonic(), time.process_time()
    with Evidence([Path(name) for name in paths], from_ns, to_ns) as evidence:
        nodes, series = evidence.nodes(), evidence.series()
        report = analyse(evidence.gateways(), nodes, series, from_ns, to_ns, to_ns, ())
    seconds = time.monotonic() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_s": time.process_time() - cpu,
                "rss_mib": peak_mib(),
                "gateways": report.gateways,
                "sessions": report.sessions,
                "losses": report.losses,
                "incidents": len(report.incidents),
                "drops": len(report.drops),
                "samples": len(series),
                "verdicts": [
                    (loss.gateway, loss.session, loss.cause.value)
                    for incident in report.incidents
                    for loss in incident.losses
                ],
            }
        )
    )


if __name__ == "__main__":
    analyse_day(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
