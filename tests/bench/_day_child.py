"""The analysis of a generated day in a process of its own: time, memory and verdicts as JSON.

python -m tests.bench._day_child FROM_NS TO_NS STORE...
"""

import json
import resource
import sys
import time
from pathlib import Path

from gateway.centre.store.evidence_reader import Evidence
from gateway.correlation.analysis import analyse


def main() -> None:
    """Analyse and print."""
    from_ns, to_ns = int(sys.argv[1]), int(sys.argv[2])
    began, cpu = time.monotonic(), time.process_time()
    with Evidence([Path(name) for name in sys.argv[3:]], from_ns, to_ns) as evidence:
        nodes, series = evidence.nodes(), evidence.series()
        report = analyse(evidence.gateways(), nodes, series, from_ns, to_ns, to_ns)
    seconds = time.monotonic() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_s": time.process_time() - cpu,
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
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
    main()
