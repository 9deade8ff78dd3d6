"""The `gateway` command: finds the verb, runs it, turns what went wrong into one line.

Owns the list of verbs and the exit statuses; each verb is a module of this room, imported only
when it is asked for (the agent must stay small). A verb's module has::

    def add_arguments(parser: argparse.ArgumentParser) -> None
    def run(args: argparse.Namespace) -> int     # the exit status
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from gateway import __version__
from gateway.errors import ConfigError, GatewayError

VERBS = {
    "run": "run the agent: poll the buses, spool, stream to the centre",
    "check": "check an agent's or a centre's config file, every problem at once",
    "edit": "change the agent's config: checked, installed whole, taken over at once",
    "schema": "print the JSON Schema of a config file, for editors",
    "doctor": "walk the path from the ports to the centre and say what is wrong",
    "scan": "find the devices on a port and print a config snippet for them",
    "read": "read a device or a point now: raw registers beside values",
    "watch": "every point live, with the bus, the link and the spool",
    "status": "how the running agent is: link, spool, buses; the last boots",
    "write": "write a point that the config marks writable, and read it back",
    "spool": "look into the spool: depth, ranges, gaps, export of readings not yet acked",
    "drops": "why gateways lost their connection: incidents, causes, evidence (at the centre)",
    "note-exit": "keep what systemd says of the agent's end (ExecStopPost= calls it)",
    "mark-stop": "note that the system itself is stopping (gateway-mark-stop.service calls it)",
    "centre": "run the control centre's ingest server; manage its tokens",
    "demo": "a virtual RS-485 bus, an agent and a centre on this machine, live in the terminal",
}
"""Verb → what it does. The module is `gateway.cli.<verb>`, a dash being `_` there."""

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIG = 2
"""Also what argparse uses for a wrong command line."""
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors are one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser, subparsers = _parser()
    verb = next((word for word in arguments if not word.startswith("-")), None)
    if verb in VERBS:
        module = import_module(f"gateway.cli.{verb.replace('-', '_')}")
        module.add_arguments(subparsers[verb])
        try:
            args = parser.parse_args(arguments)
        except SystemExit as done:
            return _status(done)
        try:
            return int(module.run(args))
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output left (`| head`): nothing more to say
            return EXIT_FAILURE
        except ConfigError as error:
            print(f"gateway {verb}: {error}", file=sys.stderr)
            return EXIT_CONFIG
        except (GatewayError, OSError) as error:
            print(f"gateway {verb}: {error}", file=sys.stderr)
            return EXIT_FAILURE
    try:
        parser.parse_args(arguments)
    except SystemExit as done:
        return _status(done)
    parser.print_help()
    return EXIT_CONFIG


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="Polls field sensors, keeps every reading until the centre has stored it.",
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", dest="verb")
    subparsers = {
        verb: verbs.add_parser(verb, help=text, description=f"gateway {verb}: {text}.")
        for verb, text in VERBS.items()
    }
    return parser, subparsers


def _status(done: SystemExit) -> int:
    """argparse leaves by SystemExit: 0 after --help or --version, 2 for a wrong command line."""
    return done.code if isinstance(done.code, int) else EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
