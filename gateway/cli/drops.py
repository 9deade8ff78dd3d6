"""`gateway drops`: why did `ws_active_connections` drop? Which gateways fell, why, what to check.

Owns the command line and the exit status: 0 the report was made, whatever it says; 1 it could not
be (no store, Prometheus silent); 2 a wrong command line or config; 3 `show` of an incident that is
not there. Looks only: nothing is written but the file of --html.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli import drops_html, drops_json, drops_list, drops_show
from gateway.cli.centre import DEFAULT_CONFIG
from gateway.cli.drops_html import Chapter
from gateway.cli.drops_meanings import meanings
from gateway.cli.drops_source import Asked, Looked, evidence_of, look, stores
from gateway.cli.drops_trace import traces
from gateway.cli.drops_words import instant, shown, when
from gateway.cli.paint import size
from gateway.correlation.evidence import GatewayEvidence
from gateway.correlation.story import tell
from gateway.correlation.verdict import Incident
from gateway.errors import RefusedError
from gateway.process.clock import Clock
from gateway.process.files import read_secret
from gateway.process.prometheus import Prometheus
from gateway.process.prometheus_series import DEFAULT_QUERY

EXIT_OK, EXIT_NO_INCIDENT = 0, 3
USUAL = "24h"
BEFORE_NS, AFTER_NS = 6 * 3600 * 10**9, 18 * 3600 * 10**9
"""What `show` looks at around the start that stands in an incident's id."""
MAX_PER_INCIDENT, MAX_EVIDENCE = 40, 400
"""Gateways whose evidence is read a second time for meanings and plots."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to look at and the form of the answer; the same options behind `show`."""
    parser.usage = "gateway drops [options]\n       gateway drops [options] show ID [options]"
    _options(parser)
    verbs = parser.add_subparsers(metavar="show ID", dest="drops_verb", required=False)
    # SUPPRESS: an option that stands before `show` must not be undone by a default behind it.
    show = verbs.add_parser(
        "show",
        help="the story of one incident",
        usage="gateway drops show ID [options]",
        argument_default=argparse.SUPPRESS,
    )
    show.add_argument("identity", metavar="ID", help="its id in the list, or the start of it")
    _options(show)


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--since", metavar="TIME", help=f"from when: 90m, 24h, 7d ago, or a date ({USUAL})")
    add("--until", metavar="TIME", help="until when (now)")
    add(
        "--store",
        metavar="FILE",
        type=Path,
        action="append",
        help="a centre's store; give it again for each further node's",
    )
    add(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the centre's config, which says where its store is ({DEFAULT_CONFIG})",
    )
    add(
        "--prometheus",
        metavar="URL",
        help="read the connections from this Prometheus, such as http://localhost:9090",
    )
    add("--query", metavar="PROMQL", help=f"what to ask it for ({DEFAULT_QUERY})")
    add("--prometheus-token", metavar="FILE", type=Path, help="a file with a bearer token for it")
    add("--all", action="store_true", help="every incident and line, not the first few")
    add("--json", action="store_true", help="as JSON, for scripts")
    add("--html", metavar="FILE", type=Path, help="write a report with plots into this file")


def run(args: argparse.Namespace) -> int:
    """Look, and answer in the form asked for. Raises: GatewayError."""
    identity = args.identity if args.drops_verb == "show" else None
    told = identity is not None or args.html is not None
    looked = look(asked(args, identity, Clock().wall_ns()), proofs=told)
    colour = sys.stdout.isatty()
    if identity is None:
        if args.html is not None:
            _write(args.html, looked, looked.report.incidents)
        listed = drops_list.lines(looked, colour, whole=args.all)
        _print(drops_json.report(looked) if args.json else listed)
        return EXIT_OK
    incident = find(looked.report.incidents, identity)
    if incident is None:
        print(f"gateway drops: {_nearest(looked, identity)}", file=sys.stderr)
        return EXIT_NO_INCIDENT
    if args.html is not None:
        _write(args.html, looked, [incident])
    story, said = tell(incident), meanings(incident.losses, _evidence(looked, [incident]))
    lines: Iterable[str] = drops_show.lines(incident, story, said, args.all, colour)
    if args.json:
        lines = [drops_json.text(drops_json.incident(looked, incident, story, said))]
    _print(lines)
    return EXIT_OK


def asked(args: argparse.Namespace, identity: str | None, now_ns: int) -> Asked:
    """Return what the command line asks for. Raises: GatewayError."""
    start_ns = None if identity is None else start_of(identity)
    from_ns, to_ns = now_ns, now_ns
    if args.since is not None or start_ns is None:
        from_ns = max(0, instant(args.since or USUAL, now_ns))
    else:
        from_ns, to_ns = max(0, start_ns - BEFORE_NS), min(now_ns, start_ns + AFTER_NS)
    if args.until is not None:
        to_ns = min(now_ns, instant(args.until, now_ns))
    if from_ns >= to_ns:
        raise RefusedError(
            f"--since {when(from_ns)} is not before --until {when(max(0, to_ns))}; "
            "give an earlier --since"
        )
    if args.prometheus is None and (args.query is not None or args.prometheus_token is not None):
        raise RefusedError("--query and --prometheus-token are for --prometheus URL; add it")
    paths = stores(args.store or (), args.config or DEFAULT_CONFIG, args.config is not None)
    if args.prometheus is None:
        return Asked(paths, from_ns, to_ns, now_ns)
    token = None if args.prometheus_token is None else read_secret(args.prometheus_token)
    server = Prometheus(args.prometheus, token=token)
    query = DEFAULT_QUERY if args.query is None else args.query
    return Asked(paths, from_ns, to_ns, now_ns, server, query)


def start_of(identity: str) -> int | None:
    """Return the start that stands in an incident's id, ``None`` for a part of one."""
    found = re.match(r"\d{8}T\d{6}", identity)
    if found is None:
        return None
    try:
        start = datetime.strptime(found[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(start.timestamp()) * 10**9


def find(incidents: Sequence[Incident], identity: str) -> Incident | None:
    """Return the incident of an id, or of the beginning of one if it is the only one."""
    close = [one for one in incidents if one.identity.startswith(identity)]
    same = [one for one in close if one.identity == identity]
    return same[0] if same else close[0] if len(close) == 1 else None


def _nearest(looked: Looked, identity: str) -> str:
    """Say that there is no such incident, and which there are."""
    incidents = looked.report.incidents
    start_ns = start_of(identity) or looked.asked.to_ns
    ranked = sorted(incidents, key=lambda one: abs(one.started_ns - start_ns))[:3]
    near = ", ".join(one.identity for one in ranked) or "none"
    span = f"from {when(looked.asked.from_ns)} to {when(looked.asked.to_ns)}"
    close = sum(one.identity.startswith(identity) for one in incidents)
    what = f"{close} incidents begin with it" if close else f"no such incident {span}"
    return f"{shown(identity, 64)}: {what}; the nearest: {near}. --since and --until widen the time"


def _evidence(looked: Looked, incidents: Sequence[Incident]) -> dict[str, GatewayEvidence]:
    """Read the evidence of the gateways that fell, bounded for each incident and in all."""
    names: dict[str, None] = {}
    for incident in incidents:
        few = dict.fromkeys(loss.gateway for loss in incident.losses)
        names.update(dict.fromkeys(list(few)[:MAX_PER_INCIDENT]))
    return evidence_of(looked.asked, list(names)[:MAX_EVIDENCE])


def _write(path: Path, looked: Looked, incidents: Sequence[Incident]) -> None:
    """Write the report. Raises: RefusedError."""
    told = drops_html.told_in_full(incidents)
    known = _evidence(looked, told)
    chapters = [
        Chapter(one, tell(one), meanings(one.losses, known), traces(one.losses, known))
        for one in told
    ]
    data = drops_html.page(looked, chapters).encode("utf-8")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise RefusedError(
            f"--html {path}: cannot be written ({error.strerror}); name a file in a directory "
            "that you may write to"
        ) from error
    print(f"report: {path}, {size(len(data))}", file=sys.stderr)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
