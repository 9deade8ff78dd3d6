"""Child processes of the demo: started, ended by their pid, never left behind.

Owns the way a child lives and dies. Each has a session of its own, so that Ctrl-C reaches only the
demo, which then ends them in order; and each asks the kernel for a SIGTERM should the demo itself
be killed (prctl(2), PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import GatewayError

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 2000
ANSWER_S = 60.0
"""A child that says nothing for so long hangs; importing everything takes a second or two."""


class ChildError(GatewayError):
    """A process of the demo did not start or ended by itself."""


class Child:
    """A running process of ours. `log`: where its standard error goes."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, pipes: bool = False
    ) -> None:
        self.name = name
        self.log = log
        self._said = b""
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe if pipes else stderr,
                stderr=stderr,
                bufsize=0,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def line(self) -> str:
        """Return the next line of its standard output. Raises: ChildError when it has ended, or
        says nothing for `ANSWER_S`."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + ANSWER_S
        while b"\n" not in self._said:
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ChildError(f"{self.name} did not answer in {ANSWER_S:g} s:\n{self.tail()}")
            more = os.read(fd, 1 << 16)
            if not more:
                raise ChildError(f"{self.name} ended instead of answering:\n{self.tail()}")
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return line.decode("utf-8", "replace")

    def ask(self, text: str) -> str:
        """Write a line to its standard input and return the line it answers. Raises: ChildError."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{text}\n".encode())
        except BrokenPipeError as error:
            raise ChildError(f"{self.name} is gone:\n{self.tail()}") from error
        return self.line()

    def check(self) -> None:
        """Raises: ChildError when it has ended by itself."""
        status = self.process.poll()
        if status is not None:
            raise ChildError(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").rstrip()

    def rss_bytes(self) -> int:
        """Return its resident memory, 0 when it has ended."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Return the processor time it has used, 0 when it has ended."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8")
        except OSError:
            return 0.0
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, timeout_s: float) -> int:
        """End it with SIGTERM (a child with pipes: by the end of its input), then SIGKILL.

        Returns its exit status.
        """
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        elif self.process.poll() is None:
            self.process.terminate()
        deadline = time.monotonic() + timeout_s
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        return int(self.process.returncode)


def own_command(*arguments: str) -> list[str]:
    """Return the command line that runs `gateway` with this interpreter."""
    return [sys.executable, "-m", "gateway.cli.main", *arguments]


_libc = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    """Runs in the child before exec: only calls that are safe there."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
