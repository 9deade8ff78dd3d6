"""What the doctor finds: a level, the evidence in words, the cure.

Owns the form of a finding and its lines, and how long a probe may take.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import GatewayError

WIDTH = 14
"""Columns of the subject."""


class Level(StrEnum):
    """How bad it is. Only a `PROBLEM` changes the exit status."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. A warning or a problem has a `cure`."""

    level: Level
    subject: str
    evidence: str
    cure: str = ""

    def lines(self) -> list[str]:
        """Return the line, and the cure below it."""
        first = f"{self.level:<8} {self.subject:<{WIDTH}} {self.evidence}"
        return [first, f"{'':<8} {'':<{WIDTH}} → {self.cure}"] if self.cure else [first]


def ok(subject: str, evidence: str) -> Finding:
    """Make a finding that needs nothing."""
    return Finding(Level.OK, subject, evidence)


def warning(subject: str, evidence: str, cure: str) -> Finding:
    """Make a finding that somebody should look at."""
    return Finding(Level.WARNING, subject, evidence, cure)


def problem(subject: str, evidence: str, cure: str) -> Finding:
    """Make a finding that keeps the gateway from its work."""
    return Finding(Level.PROBLEM, subject, evidence, cure)


class Probing:
    """A probe under way in a thread of its own, so that one that hangs holds nobody up."""

    def __init__(self, subject: str, probe: Callable[[], Sequence[Finding]]) -> None:
        self._subject = subject
        self._answer: queue.SimpleQueue[Sequence[Finding]] = queue.SimpleQueue()

        def run() -> None:
            try:
                found = probe()
            except (GatewayError, OSError) as error:
                found = [warning(subject, f"could not be looked at: {error}", "try with sudo")]
            except Exception as error:  # noqa: BLE001 - supervised: one bug must not hide the rest
                cure = "please report it; the other lines stand"
                found = [warning(subject, f"could not be looked at: {error!r}", cure)]
            self._answer.put(found)

        # A daemon: a probe that never ends must not keep the command from ending.
        threading.Thread(target=run, name=f"doctor.{subject}", daemon=True).start()

    def result(self, timeout_s: float) -> Sequence[Finding]:
        """Wait for the findings, at most `timeout_s`."""
        try:
            return self._answer.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            cure = "the device or service behind it hangs; look there, or try again"
            return [warning(self._subject, "no answer in time", cure)]
