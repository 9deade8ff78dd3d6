"""The bench's command: ``python -m hil list | run NAME… | campaign | all | judge DIR``.

Owns the command line. `make hil` is `all`: every scenario, then one campaign, one report.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hil import campaign, kept, packages, report, scenario
from hil.comparison import matrix, summary, table
from hil.document import write_docs
from hil.stack import lacking

REPORT = Path("hil/out")
SEED = 20261123


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all is as it must be."""
    args = _parser().parse_args(argv)
    # Whatever ends us, namespaces and processes go first; a shell's background job ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if args.command == "list":
        for name in scenario.names():
            print(f"{name:24} {(scenario.page(name).__doc__ or '').splitlines()[0]}")
        return 0
    if args.command == "judge":
        return _judge(args.directory)
    if args.install or packages.in_ci():
        packages.provide(_say)
    print(f"seed {args.seed}", flush=True)
    results: list[scenario.Result] = []
    runs: list[campaign.Run] = []
    if args.command in ("run", "all"):
        results = scenario.run(args.names or scenario.names(), args.seed, _say)
    if args.command in ("campaign", "all"):
        reason = lacking()
        if reason is None:
            runs = [_campaign(args, args.seed + number) for number in range(args.runs)]
        else:
            results.append(scenario.Result("campaign", "skipped", reason))
            _say(f"campaign: skipped: {reason}")
    told = [(result.name, result.state, result.why) for result in results]
    for path in report.write(args.report, runs, told):
        _say(f"report: {path}")
    if args.write_docs and runs:
        write_docs(args.write_docs, runs)
        _say(f"matrix: {args.write_docs}")
    failed = [result.name for result in results if result.state == "failed"]
    failed += [f"campaign {run.seed}" for run in runs if run.shortcomings()]
    _say(f"failed: {', '.join(failed)}" if failed else "all as it must be")
    return 1 if failed else 0


def _terminated(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _campaign(args: argparse.Namespace, seed: int) -> campaign.Run:
    done = campaign.run(
        seed, _say, args.report, copies=args.copies, agents=args.agents, drivers=args.drivers
    )
    comparison = done.told.comparison
    print(f"\ncampaign, seed {seed}: {done.agents} agents, {done.drivers} drivers,", end="")
    print(f" {done.seconds:.0f} s\n\n{table(*matrix(comparison))}\n")
    for line in (*summary(comparison), *comparison.shortcomings()):
        print(line)
    if done.scraped is not None:
        print("\nwith the drop read from Prometheus, the evidence from both stores:")
        for line in report.scraped_lines(done.scraped):
            print(line)
    for name, reason in done.left_out:
        print(f"left out: {name}: {reason}")
    print(flush=True)
    return done


def _judge(directory: Path) -> int:
    """Judge again what a campaign has kept."""
    comparison = kept.judge(directory).comparison
    short = comparison.shortcomings()
    print(table(*matrix(comparison)), *summary(comparison), *short, sep="\n")
    return 1 if short else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hil", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the scenarios")
    again = commands.add_parser("judge", help="judge again what a campaign has kept")
    again.add_argument("directory", type=Path, help="hil/out/seed-N")
    for name, text in (
        ("run", "run scenarios"),
        ("campaign", "every fault in a random order over the whole fleet"),
        ("all", "every scenario, then a campaign"),
    ):
        verb = commands.add_parser(name, help=text)
        verb.set_defaults(names=[], runs=1, copies=1, write_docs=None)
        verb.add_argument("--seed", type=int, default=SEED)
        verb.add_argument("--install", action="store_true", help="what is missing, by apt-get")
        verb.add_argument("--report", type=Path, default=REPORT, metavar="DIR")
        if name == "run":
            verb.add_argument("names", nargs="+", choices=scenario.names(), metavar="NAME")
        else:
            verb.add_argument("--agents", type=int, default=campaign.AGENTS)
            verb.add_argument("--drivers", type=int, default=campaign.DRIVERS)
            verb.add_argument("--runs", type=int, default=1, help="campaigns, each its own seed")
            verb.add_argument("--copies", type=int, default=1, help="how often each fault")
            verb.add_argument("--write-docs", type=Path, metavar="FILE", help="docs/hil.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
