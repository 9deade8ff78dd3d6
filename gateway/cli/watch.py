"""`gateway watch`: every point live, with the buses, the link and the spool, until Ctrl-C.

Owns where the updates come from (the agent's subscription; `watch_direct` while none runs) and
drawing them: in place on a terminal, as plain lines in a pipe. What a line looks like is
`watch_view`'s. An agent that leaves is waited for: its ports are not taken from it in a restart.
"""

import argparse
import asyncio
import shutil
import sys
import time
from typing import TextIO

from gateway.cli.demo_view import cut
from gateway.cli.site import Site, add_site_arguments, site
from gateway.cli.watch_direct import poll
from gateway.cli.watch_view import Board, plain, screen
from gateway.errors import ConfigError
from gateway.process.clock import Clock
from gateway.process.control_client import ControlClient, NoAgentError
from gateway.process.control_messages import Reply, Request

EXIT_OK, EXIT_NO_AGENT = 0, 1
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
RETURN_S = 0.5
"""Between two looks for an agent that left."""
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
    if args.seconds is not None and args.seconds <= 0:
        raise ConfigError(f"--seconds {args.seconds:g}: more than 0")
    watching = _Watching(args)
    try:
        return watching.run()
    except KeyboardInterrupt:
        return EXIT_OK
    finally:
        watching.view.close()


class _Watching:
    """One watch, through an agent or without."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._where: Site = site(args)
        self._names: list[str] = args.names
        self._every_s: float = args.every
        self._clock = Clock()
        self._until = None if args.seconds is None else self._clock.now() + args.seconds
        self._board = Board(tuple(args.names))
        self.view = _View(sys.stdout)

    def run(self) -> int:
        """Watch until the time is over; Ctrl-C comes out as KeyboardInterrupt."""
        client = self._where.try_client()
        if client is None:
            self._board.direct = True
            client = asyncio.run(poll(self._where, self._names, self._every_s, self._show))
            if client is None:
                return EXIT_OK
            self._board = Board(tuple(self._names))
        while client is not None:
            if self._through(client):
                return EXIT_OK
            client = self._returned()
        return EXIT_NO_AGENT

    def _through(self, client: ControlClient) -> bool:
        """Show an agent's updates; return whether that is all, ``False`` when the agent left."""
        with client:
            try:
                for reply in client.lines(Request("subscribe", every_s=self._every_s)):
                    if not self._show(reply):
                        return True
            except NoAgentError as error:
                self._board.gone = str(error)
        return False

    def _returned(self) -> ControlClient | None:
        """Wait for the agent to come back, saying so; ``None``: the time is over."""
        self.view.draw(self._board)
        while not self._over():
            time.sleep(RETURN_S)
            client = self._where.try_client()
            if client is not None:
                self._board = Board(tuple(self._names))
                return client
        return None

    def _show(self, reply: Reply) -> bool:
        """Take one line of an update, draw when it is whole; return whether to go on."""
        if not self._board.take(reply):
            return True
        self.view.draw(self._board)
        return not self._over()

    def _over(self) -> bool:
        return self._until is not None and self._clock.now() >= self._until


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
