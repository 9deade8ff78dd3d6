"""Pins the reader of a plain serial source on a real pty: talking, asked, unplugged, babbling."""

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.agent.serial_reader import SerialReader
from gateway.config.serial import SerialSettings
from gateway.event import Event, EventKind
from gateway.process.clock import Clock
from gateway.reading import Cause, Row
from gateway.serial.builtin import BUILT_IN
from gateway.serial.format import Options, OptionValue
from gateway.serial.source import Asking
from gateway.serial.values import FieldSpec
from tests.agent.test_port import Pty
from tests.waiting import wait_until

CLOCK = Clock()


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[Pty]:
    """A pty for one test."""
    pty = Pty(tmp_path / "port")
    yield pty
    pty.close()


def settings(
    pty: Pty,
    points: tuple[FieldSpec, ...],
    asking: Asking | None = None,
    silent_after_s: float = 60.0,
    **options: OptionValue,
) -> SerialSettings:
    kind = BUILT_IN["delimited"]
    return SerialSettings(
        name="scale",
        port=str(pty.path),
        format="delimited",
        format_type=kind,
        options=Options.of(kind.OPTIONS, options),
        points=points,
        baud=9600,
        asking=asking,
        silent_after_s=silent_after_s,
    )


class Seen:
    """What a reader handed on; `until` waits for it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def take_rows(self, _: str, rows: list[Row]) -> None:
        with self._changed:
            self.rows.extend(rows)
            self._changed.notify_all()

    def take_event(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def until(self, what: Callable[[], bool], timeout_s: float = 20.0) -> None:
        with self._changed:
            assert self._changed.wait_for(what, timeout_s), (self.rows[-5:], self.events)


@contextmanager
def reading(wanted: SerialSettings) -> Iterator[tuple[SerialReader, Seen]]:
    """Run a reader until the block ends."""
    seen = Seen()
    reader = SerialReader(wanted, CLOCK, seen.take_rows, seen.take_event)
    reader.start()
    try:
        yield reader, seen
    finally:
        reader.stop()
        assert reader.join(5.0)
        assert reader.ended.result() is None


def sample(reader: SerialReader, name: str) -> float:
    """Return one of the reader's metrics, summed over its other labels."""
    return sum(one.value for one in reader.samples() if one.name == f"gateway_serial_{name}")


WEIGHT = (FieldSpec("weight", "weight", unit="kg"),)


def test_a_source_that_talks(pty: Pty) -> None:
    """Each line is a row with the time of its first byte; 0 is a value; half lines are none."""
    with reading(settings(pty, WEIGHT, fields=("", "weight"), start="ST")) as (reader, seen):
        wait_until(lambda: sample(reader, "port_open") == 1)
        assert [block.source for block in reader.schema_blocks] == ["scale"]
        assert reader.schema_blocks[0].period_s == 0.0
        before = CLOCK.boottime_ns()
        os.write(pty.adapter, b"7\r\nST,12.5\r\nST,0\r\nST,1")
        seen.until(lambda: len(seen.rows) == 2)
        os.write(pty.adapter, b"3.5\r\n")
        seen.until(lambda: len(seen.rows) == 3)
        assert [row.values for row in seen.rows] == [(12.5,), (0.0,), (13.5,)]
        assert {row.causes for row in seen.rows} == {None}
        times = [row.source_time_ns for row in seen.rows]
        assert before - 100_000 <= times[0] and times == sorted(times)
        assert times[2] == times[0]  # its first byte came with the others
        assert sample(reader, "lines") == 3 and sample(reader, "faults") == 1


class Ups(threading.Thread):
    """Answers each ``Q1\\r`` on a pty with a line that counts; `mute` says nothing."""

    def __init__(self, pty: Pty) -> None:
        super().__init__(daemon=True)
        self._pty = pty
        self.asked = 0
        self.mute = False
        self.stopped = threading.Event()

    def run(self) -> None:
        heard = b""
        while not self.stopped.is_set():
            fd = self._pty.adapter
            if fd < 0 or not select.select([fd], [], [], 0.02)[0]:
                continue
            heard += os.read(fd, 100)
            while b"Q1\r" in heard:
                heard = heard.partition(b"Q1\r")[2]
                self.asked += 1
                if not self.mute:
                    os.write(fd, f"({self.asked} 50.0\r".encode())

    def __enter__(self) -> "Ups":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()


UPS = (FieldSpec("input", "input", unit="V"), FieldSpec("frequency", "frequency", unit="Hz"))
Q1 = Asking(b"Q1\r", 0.1, 0.05)


def test_a_source_that_is_asked(pty: Pty) -> None:
    """One row a question; a question without an answer is a bad row, then it goes on."""
    wanted = settings(
        pty, UPS, Q1, 0.5, fields=("input", "frequency"), start="(", end="\r", delimiter=" "
    )
    with Ups(pty) as ups, reading(wanted) as (reader, seen):
        assert reader.schema_blocks[0].period_s == 0.1
        seen.until(lambda: len(seen.rows) >= 3)
        good = [row.values for row in seen.rows if row.causes is None]
        assert good == [(float(n), 50.0) for n in range(1, len(good) + 1)]
        ups.mute = True
        seen.until(lambda: [e.kind for e in seen.events] == [EventKind.DEVICE_DOWN])
        assert seen.rows[-1].values == (None, None)
        assert seen.rows[-1].causes == (Cause.NO_REPLY, Cause.NO_REPLY)
        assert sample(reader, "unanswered") >= 1 and sample(reader, "silent") == 1
        ups.mute = False
        seen.until(lambda: EventKind.DEVICE_UP in [e.kind for e in seen.events])
        seen.until(lambda: seen.rows[-1].causes is None)


def test_unplugged_and_back(pty: Pty) -> None:
    """Bad rows with the cause while the adapter is away, an event each way, then values again."""
    with reading(settings(pty, WEIGHT, None, 0.3, fields=("weight",))) as (reader, seen):
        wait_until(lambda: sample(reader, "port_open") == 1)
        os.write(pty.adapter, b"\n1\n2\n")
        seen.until(lambda: bool(seen.rows))
        seen.events.clear()
        pty.unplug()
        seen.until(lambda: len([r for r in seen.rows if r.causes == (Cause.PORT_LOST,)]) >= 2)
        assert EventKind.PORT_LOST in [event.kind for event in seen.events]
        pty.plug()
        seen.until(lambda: EventKind.PORT_RETURNED in [event.kind for event in seen.events])
        os.write(pty.adapter, b"3\n4\n")
        seen.until(lambda: seen.rows[-1].values == (4.0,))
        lost = next(i for i, row in enumerate(seen.rows) if row.causes == (Cause.PORT_LOST,))
        assert {row.values for row in seen.rows[lost:-1]} == {(None,)}
        assert sample(reader, "port_losses") == 1


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    """The loss is told at once; nothing is invented."""
    pty = Pty(tmp_path / "port")
    wanted = settings(pty, WEIGHT, fields=("weight",))
    pty.close()
    with reading(wanted) as (_, seen):
        seen.until(lambda: bool(seen.rows) and bool(seen.events))
        assert seen.rows[0].causes == (Cause.PORT_LOST,)
        assert "port" in dict(seen.events[0].fields)


def test_babble_is_a_stale_source(pty: Pty) -> None:
    """A source that sends without an end is bad with a cause, and the thread still stops."""
    stopped = threading.Event()

    def babble() -> None:
        while not stopped.is_set():
            if select.select([], [pty.adapter], [], 0.01)[1]:
                os.write(pty.adapter, b"x" * 64)

    thread = threading.Thread(target=babble)
    with reading(settings(pty, WEIGHT, None, 0.3, fields=("weight",))) as (reader, seen):
        thread.start()
        try:
            seen.until(lambda: bool(seen.rows))
        finally:
            stopped.set()
            thread.join()
        assert seen.rows[0].causes == (Cause.FORMAT,)
        assert sample(reader, "faults") >= 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_ends_the_thread_with_its_exception(pty: Pty) -> None:
    """The supervisor sees what happened; the port is given back."""
    seen = Seen()

    def refuse(_: str, rows: list[Row]) -> None:
        raise RuntimeError("a bug behind the reader")

    reader = SerialReader(
        settings(pty, WEIGHT, None, 0.1, fields=("weight",)), CLOCK, refuse, seen.take_event
    )
    reader.start()
    assert reader.join(5.0)
    with pytest.raises(RuntimeError, match="a bug behind"):
        reader.ended.result()
    reader.stop()
    with reading(settings(pty, WEIGHT, fields=("weight",))):
        pass
