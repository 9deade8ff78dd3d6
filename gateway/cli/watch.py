"""`gateway watch`: every point live, with the buses, the link and the spool, until Ctrl-C.

Owns gathering the updates of a subscription and drawing them: in place on a terminal, as plain
lines in a pipe. What a line looks like is `watch_view`'s.
"""

import argparse
import shutil
import sys
from typing import TextIO

from gateway.cli.demo_view import cut
from gateway.cli.site import add_site_arguments, site
from gateway.cli.watch_view import Board, plain, screen
from gateway.errors import ConfigError
from gateway.process.control_messages import Request

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to show and how often."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these, DEVICE or DEVICE.POINT, with * and ?"
    )
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="S", help="draw so often (default 1 s)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end by itself after so long")
    add_site_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C, which is how it ends: status 0."""
    if not 0.2 <= args.every <= 60:
        raise ConfigError(f"--every {args.every:g}: 0.2 to 60 seconds")
    board, view = Board(tuple(args.names)), _View(sys.stdout)
    with site(args).client() as client:
        try:
            for reply in client.lines(Request("subscribe", every_s=args.every)):
                if not board.take(reply):
                    continue
                view.draw(board)
                if args.seconds is not None and board.elapsed_s >= args.seconds:
                    break
        except KeyboardInterrupt:
            pass
        finally:
            view.close()
    return 0


class _View:
    """Draws a board on `out`: over the one before on a terminal, as lines elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._drawn = 0

    def draw(self, board: Board) -> None:
        if not self._terminal:
            for line in plain(board):
                print(line, file=self._out)
            self._out.flush()
            return
        width, height = shutil.get_terminal_size()
        lines = [cut(line, width) for line in screen(board, height - 1, colour=True)]
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        body = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        self._out.write(_HIDE_CURSOR + up + body + _CLEAR_BELOW)
        self._out.flush()
        self._drawn = len(lines)

    def close(self) -> None:
        """Leave the terminal as it was, the last board above the prompt."""
        if self._terminal and self._drawn:
            self._out.write(_SHOW_CURSOR)
            self._out.flush()
