"""The analysis of a generated day in a process of its own: time, memory and verdicts as JSON.

python -m tests.bench._day_child FROM_NS TO_NS STORE...
"""

import gc
import json
import resource
import sys
import time
from pathlib import Path

from gateway.centre.store.evidence_reader import Evidence
from gateway.cli.main import main as run_command
from gateway.correlation.analysis import analyse


def peak_mib() -> float:
    """Return the most memory this process had. Not `ru_maxrss`: that survives an exec, so that a
    child's begins at its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status: no VmHWM")


def drops(arguments: list[str]) -> None:
    """Run `gateway drops` as an operator does; the last line says what it cost."""
    began = time.monotonic()
    status = run_command(["drops", *arguments])
    if status:
        sys.exit(status)
    seconds = time.monotonic() - began
    # Both processes' peaks, though they are not at the same time; a fork counts what it shares too.
    second = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "rss_mib": peak_mib() + second}))


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
    if sys.argv[1] == "drops":
        drops(sys.argv[2:])
    else:
        analyse_day(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
