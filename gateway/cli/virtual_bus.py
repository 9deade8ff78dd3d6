"""A virtual RS-485 bus: a pty that is as slow as a real wire, with devices on it.

Owns timing and counts: every character takes 10 bits (8N1: a pty has no parity), each device its
turnaround, and replies arrive in pieces of eight characters as a UART with a FIFO delivers them.
What is answered is pymodbus's server's business (`virtual_devices`); it sits on a second pty behind
the pacer. Never part of the agent: it runs in a process of its own (`python -m
gateway.cli.virtual_bus`), so that neither's timing disturbs the other, and ends when its standard
input does, so that nothing stays behind whoever started it.

Source: Modbus over serial line V1.02 §2.5.1 (frames, t3.5).
"""

import argparse
import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from pymodbus.server import ModbusSerialServer

from gateway.cli.virtual_devices import MODELS, VirtualDevice, demo_devices, start_clock

BITS_PER_CHARACTER = 10
FIFO_CHARACTERS = 8
"""Receive trigger level of a PL011 or 16550: half of its FIFO."""
SERVER_TIMEOUT_S = 2.0
ABSENT_PAUSE_S = 0.02
"""Pause while nobody has the port open: a pty's hang-up cannot be waited for."""
MAX_FRAME = 256
DEVICE_IDENTIFICATION = 43
"""Its request has seven characters, its reply objects of any length (protocol V1.1b3 §6.21)."""
_SPEEDS = {9600: termios.B9600, 19200: termios.B19200, 38400: termios.B38400, 57600: termios.B57600}
_SPEEDS[115200] = termios.B115200


@dataclass(slots=True)
class BusCounts:
    """What the wire saw. `busy_s`: characters, turnarounds and the silences (t3.5) after them."""

    requests: int = 0
    replies: int = 0
    unanswered: int = 0
    garbage: int = 0
    too_early: int = 0
    wrong_baud: int = 0
    busy_s: float = 0.0
    elapsed_s: float = 0.0


def silence_s(baud: int) -> float:
    """Return t3.5; fixed above 19200 baud (§2.5.1.1)."""
    return 0.00175 if baud > 19200 else 3.5 * BITS_PER_CHARACTER / baud


def request_length(head: bytes) -> int | None:
    """Return how long the request that starts with `head` is; ``None``: cannot be told yet."""
    if len(head) < 2:
        return None
    if head[1] in (15, 16):
        return None if len(head) < 7 else 9 + head[6]
    return 7 if head[1] == DEVICE_IDENTIFICATION else 8


class Pacer:
    """The wire between the agent's pty and the server's. Runs in a thread; `stop` ends it."""

    def __init__(self, baud: int, turnarounds: dict[int, float]) -> None:
        self.baud = baud
        self.character_s = BITS_PER_CHARACTER / baud
        self.counts = BusCounts()
        self._turnarounds = turnarounds
        self._agent_side, agent_port = _raw_pty(baud)
        self._server_side, self._server_slave = _raw_pty(baud)
        self.agent_port = os.ttyname(agent_port)
        self.server_port = os.ttyname(self._server_slave)
        os.close(agent_port)  # so that the agent's TIOCEXCL ends with the agent
        self._stopping = False
        self._started = time.monotonic()
        self._silent_from = 0.0

    def stop(self) -> None:
        """Make `run` return within half a second."""
        self._stopping = True

    def snapshot(self) -> BusCounts:
        """Return the counts with the time that has passed."""
        self.counts.elapsed_s = time.monotonic() - self._started
        return self.counts

    def run(self) -> None:
        """Carry requests and replies until `stop`."""
        while not self._stopping:
            request = self._request()
            if request:
                self._carry(*request)
        for fd in (self._agent_side, self._server_side, self._server_slave):
            os.close(fd)

    def _request(self) -> tuple[bytes, float] | None:
        """Wait for a request and return it with the instant its last character is on the wire."""
        ready, _, _ = select.select([self._agent_side], [], [], 0.25)
        if not ready:
            return None
        try:
            data = os.read(self._agent_side, MAX_FRAME)
        except OSError:  # EIO: nobody has the port open
            time.sleep(ABSENT_PAUSE_S)
            return None
        arrived = time.monotonic()
        self.counts.too_early += arrived < self._silent_from
        while (length := request_length(data)) is None or len(data) < length:
            gap = 4 * self.character_s + 0.005
            ready, _, _ = select.select([self._agent_side], [], [], gap)
            if not ready:
                break
            data += os.read(self._agent_side, MAX_FRAME)
        wire_end = arrived + len(data) * self.character_s
        self._occupy(arrived, wire_end)
        if termios.tcgetattr(self._agent_side)[5] != _SPEEDS[self.baud]:
            self.counts.wrong_baud += 1
            return None
        if length is None or len(data) != length:
            self.counts.garbage += 1
            return None
        self.counts.requests += 1
        return data, wire_end

    def _carry(self, request: bytes, wire_end: float) -> None:
        """Have the server answer while the request is on the wire; deliver at the wire's pace."""
        turnaround = self._turnarounds.get(request[0])
        if turnaround is None:  # no such device on this bus: silence
            self.counts.unanswered += 1
            return
        os.write(self._server_side, request)
        reply = self._server_reply()
        if not reply:
            self.counts.unanswered += 1
            return
        start = max(wire_end + turnaround, time.monotonic())
        for at in range(0, len(reply), FIFO_CHARACTERS):
            piece = reply[at : at + FIFO_CHARACTERS]
            _sleep_until(start + (at + len(piece)) * self.character_s)
            with contextlib.suppress(OSError):  # EIO: the agent went away while we answered
                os.write(self._agent_side, piece)
        self.counts.replies += 1
        end = start + len(reply) * self.character_s
        self._occupy(wire_end, end)

    def _server_reply(self) -> bytes:
        """Return the server's whole reply; a pty may hand it over in pieces."""
        deadline = time.monotonic() + SERVER_TIMEOUT_S
        reply = b""
        while not self._stopping:
            ready, _, _ = select.select([self._server_side], [], [], 0.25)
            if ready:
                reply += os.read(self._server_side, MAX_FRAME)
                if len(reply) >= 5 and len(reply) >= _reply_length(reply):
                    return reply
            elif time.monotonic() > deadline:
                break
        return b""

    def _occupy(self, start: float, end: float) -> None:
        """Count the wire as taken from `start` to `end`, and the silence that must follow."""
        silence = silence_s(self.baud)
        overlap = max(0.0, self._silent_from - start)
        self.counts.busy_s += end - start + silence - overlap
        self._silent_from = end + silence


def _reply_length(head: bytes) -> int:
    """Return the length of the reply that starts with `head` (at least five bytes)."""
    if head[1] & 0x80:
        return 5
    if head[1] == DEVICE_IDENTIFICATION:
        end = 8
        for _ in range(head[7] if len(head) > 7 else 1):
            end += 2 + (head[end + 1] if len(head) > end + 1 else MAX_FRAME)
        return end + 2
    return 5 + head[2] if head[1] <= 4 else 8


def _raw_pty(baud: int) -> tuple[int, int]:
    """Return the two ends of a pty in raw mode at `baud`, 8N1."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    attributes = termios.tcgetattr(theirs)
    attributes[4] = attributes[5] = _SPEEDS[baud]
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    return ours, theirs


def _sleep_until(instant: float) -> None:
    left = instant - time.monotonic()
    if left > 0:
        time.sleep(left)


async def serve(baud: int, devices: Sequence[VirtualDevice]) -> None:
    """Run a bus until standard input ends; each line on it is answered with the counts.

    The first line printed is the port's path.
    """
    pacer = Pacer(baud, {device.unit_id: device.turnaround_s for device in devices})
    clock = start_clock()
    server = ModbusSerialServer(
        [device.server_device(clock) for device in devices],
        port=pacer.server_port,
        baudrate=baud,
        ignore_missing_devices=True,
    )
    await server.serve_forever(background=True)
    wire = threading.Thread(target=pacer.run, name=f"pacer[{pacer.agent_port}]")
    wire.start()
    try:
        print(json.dumps({"port": pacer.agent_port}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(pacer.snapshot())), flush=True)
    finally:
        shutdown: Callable[[], Awaitable[None]] = server.shutdown  # pymodbus leaves it untyped
        await shutdown()
        pacer.stop()
        await asyncio.to_thread(wire.join)


def main() -> int:
    """Entry of the bus's own process."""
    parser = argparse.ArgumentParser(prog="python -m gateway.cli.virtual_bus", description=__doc__)
    parser.add_argument("--baud", type=int, choices=sorted(_SPEEDS), default=19200)
    parser.add_argument(
        "--device",
        action="append",
        type=_device,
        metavar="MODEL:UNIT_ID",
        help=f"a device on the bus ({', '.join(MODELS)}); default: those of the demo",
    )
    args = parser.parse_args()
    sys.setswitchinterval(0.0002)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(serve(args.baud, args.device or demo_devices()))
    return 0


def _device(text: str) -> VirtualDevice:
    """Read ``sdm630:17``."""
    model, _, unit_id = text.partition(":")
    return MODELS[model](text.replace(":", "-"), int(unit_id))


if __name__ == "__main__":
    sys.exit(main())
