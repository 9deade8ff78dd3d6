"""The bench's child processes: started, ended by their pid, never left behind.

Owns how a child lives and dies here. A child asks the kernel for a SIGTERM should the bench die
(prctl(2), PR_SET_PDEATHSIG); the kernel sends it when the *thread* that started the child ends, so
all are started by one thread that lives as long as the bench. What is in a namespace gets its
resolver's files from ``/etc/netns/NAME`` (ip-netns(8)).
"""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.cli.child import Child, ChildError

KILL_S = 10.0
START_S = 30.0


class Processes:
    """All children of a bench. May be used from any thread."""

    def __init__(self) -> None:
        self._starter = ThreadPoolExecutor(1, "hil.starter")
        self._children: list[Child] = []
        self._lock = threading.Lock()

    def start(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        namespace: str | None = None,
        pipes: bool = False,
    ) -> Child:
        """Start a child, in a network namespace if one is named; returns at once. Raises:
        TimeoutError when the machine does not."""
        inside = [] if namespace is None else ["ip", "netns", "exec", namespace]
        starting = self._starter.submit(Child, name, [*inside, *command], log, pipes=pipes)
        child = starting.result(START_S)
        with self._lock:
            self._children.append(child)
        return child

    def kill(self, child: Child) -> None:
        """SIGKILL, and wait until it is gone. Raises: ChildError if it ended by itself before."""
        child.check()
        child.process.kill()
        self._reap(child)

    def stop(self, child: Child, timeout_s: float = KILL_S) -> int:
        """End it with SIGTERM (a child with pipes: by the end of its input), then SIGKILL; return
        its exit status."""
        status = child.stop(timeout_s)
        self._forget(child)
        return status

    def check(self) -> None:
        """Raises: ChildError when one has ended by itself."""
        with self._lock:
            children = tuple(self._children)
        for child in children:
            child.check()

    def close(self) -> None:
        """End all: SIGTERM to every one first, so that they leave together."""
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            with contextlib.suppress(OSError):
                if child.process.stdin is not None:
                    child.process.stdin.close()
                elif child.process.poll() is None:
                    child.process.send_signal(signal.SIGTERM)
        for child in reversed(children):
            with contextlib.suppress(ChildError, OSError):
                child.stop(KILL_S)
        self._starter.shutdown(wait=False)

    def _reap(self, child: Child) -> None:
        child.process.wait(KILL_S)
        for pipe in (child.process.stdin, child.process.stdout):
            if pipe is not None:
                pipe.close()
        self._forget(child)

    def _forget(self, child: Child) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._children.remove(child)


def run(command: Sequence[str], text: str = "", timeout_s: float = 20.0) -> str:
    """Run a short command with `text` on its input; return its output. Raises: ChildError."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode != 0:
        raise ChildError(f"{' '.join(command)}: {done.stderr.strip()[:500]}\n{text[:500]}")
    return done.stdout
