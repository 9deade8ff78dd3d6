"""`gateway centre`: run the ingest server, manage the gateways' tokens and the page's users.

Owns the command line only; the work is in `gateway.centre`.
"""

import argparse
import sys
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path

from gateway.config.centre import CentreSettings, parse
from gateway.errors import ConfigError

DEFAULT_CONFIG = Path("/etc/gateway-centre/centre.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what comes behind `gateway centre`."""
    verbs = parser.add_subparsers(metavar="VERB", dest="centre_verb", required=True)
    run_ = verbs.add_parser("run", help="serve gateways until SIGTERM")
    _config(run_)
    token = verbs.add_parser("token", help="add, revoke and list the gateways' tokens")
    actions = token.add_subparsers(metavar="ACTION", dest="action", required=True)
    add = actions.add_parser("add", help="make a token and print it, once")
    add.add_argument("gateway_id", metavar="ID")
    _config(add)
    revoke = actions.add_parser("revoke", help="end a gateway's tokens; its session is closed")
    revoke.add_argument("gateway_id", metavar="ID")
    revoke.add_argument("--key", metavar="KEY", help="only the token of this key id (see list)")
    _config(revoke)
    _config(actions.add_parser("list", help="show gateway id, key id and date of every token"))
    password = verbs.add_parser(
        "passwd", help="read a password and print the line for the page's users_file"
    )
    password.add_argument("user_name", metavar="NAME")


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the centre's config file (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb. Raises: GatewayError, OSError (the dispatcher words them)."""
    if args.centre_verb == "passwd":
        return _passwd(args.user_name)
    settings = load(args.config)
    base = args.config.absolute().parent
    if args.centre_verb == "run":
        from gateway.centre.daemon import run as run_daemon

        return run_daemon(settings, base, args.config)
    return _token(args, base / settings.tokens_file)


def load(path: Path) -> CentreSettings:
    """Read and check a config file. Raises: ConfigError with every problem."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give --config FILE") from error
    parsed = parse(text, str(path))
    if parsed.settings is None:
        raise ConfigError("\n".join(str(problem) for problem in parsed.problems))
    return parsed.settings


def _passwd(name: str) -> int:
    from gateway.centre.web.users import make_user

    if sys.stdin.isatty():
        password = getpass(f"Password for {name}: ")
        if getpass("Once more: ") != password:
            raise ConfigError("the two passwords differ; nothing was made")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    print(make_user(name, password).line())
    return 0


def _token(args: argparse.Namespace, path: Path) -> int:
    from gateway.centre.tokens import add_token, read_tokens, revoke_tokens
    from gateway.process.clock import Clock

    if args.action == "add":
        print(add_token(path, args.gateway_id, Clock().wall_ns()))
        return 0
    if args.action == "revoke":
        count = revoke_tokens(path, args.gateway_id, args.key)
        print(f"{count} token{'' if count == 1 else 's'} of {args.gateway_id} revoked")
        return 0 if count else 1
    for entry in sorted(read_tokens(path), key=lambda e: (e.gateway_id, e.created_ns)):
        made = datetime.fromtimestamp(entry.created_ns / 1e9, UTC)
        print(f"{entry.gateway_id}\t{entry.key_id}\t{made:%Y-%m-%dT%H:%M:%SZ}")
    return 0
