"""What a technician's command does with a plain serial source: see what it says now.

Owns the result, readings beside the bytes they came from; waiting is the caller's, who has an event
loop or has not. Nothing is ever written to a source but its own question.
"""

from gateway.agent.bus_jobs import no_such_point
from gateway.agent.latest import Latest
from gateway.agent.serial_reader import SerialReader
from gateway.config.serial import SerialSettings
from gateway.errors import RefusedError
from gateway.process.clock import Clock
from gateway.process.control_messages import SourceRead
from gateway.serial.line import Fault

LOOK_S = 0.02
"""Between two looks whether the answer is there."""
MAX_S = 20.0
"""Longest wait for an answer: the command at the other end does not wait for ever."""


def check_point(settings: SerialSettings, point: str) -> None:
    """Raises: RefusedError when the source has no point of that name ("" is all of them)."""
    names = [spec.name for spec in settings.points]
    if point and point not in names:
        raise RefusedError(no_such_point(settings.name, point, names))


def answer_s(settings: SerialSettings) -> float:
    """Return how long an answer to a question out of turn may take: one may be under way."""
    return 0.0 if settings.asking is None else min(MAX_S, 2 * settings.asking.timeout_s + LOOK_S)


def source_read(
    reader: SerialReader, latest: Latest, clock: Clock, point: str, asked: bool, began: float
) -> SourceRead:
    """Return what a source said last; `began`: when somebody began to wait for it."""
    settings = reader.settings
    points = latest.points(clock.boottime_ns(), source=settings.name)
    return SourceRead(
        settings.name,
        settings.port,
        settings.format,
        asked,
        tuple(one for one in points if point in ("", one.point)),
        tuple((way, data.hex(" ")) for way, data in reader.recent()),
        "" if reader.last_fault is None else fault_text(reader.last_fault),
        clock.now() - began,
    )


def fault_text(fault: Fault) -> str:
    """Return what was wrong with the bytes that gave no line."""
    return f"{fault.kind.value}: {fault.shown.decode('latin-1')!a}"
