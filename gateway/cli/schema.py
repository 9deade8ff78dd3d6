"""`gateway schema [KIND]`: the JSON Schema of a config file, for editors that complete and check.

Owns what is printed; the schema is `gateway.config.schema`'s.
"""

import argparse
import json
import sys

from gateway.config.schema import agent_schema, centre_schema, profile_schema
from gateway.process.files import Profiles, profile_directories

KINDS = ("agent", "centre", "profile")
EXIT_OK = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the kind of file."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=KINDS,
        default="agent",
        metavar="KIND",
        help="which file: " + ", ".join(KINDS) + " (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    if args.kind == "centre":
        schema = centre_schema()
    elif args.kind == "profile":
        schema = profile_schema()
    else:
        schema = agent_schema(tuple(Profiles(profile_directories())))
    json.dump(schema, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return EXIT_OK
