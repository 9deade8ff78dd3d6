"""A bench around the real daemons: a device that counts, a relay that fails, processes to kill.

Owns the ground truth of the loss tests: `CountingDevice` numbers every answer it gives and writes
down when, so that what the store holds can be compared with what was really read.
"""

import asyncio
import contextlib
import os
import pty
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CRC_POLYNOMIAL = 0xA001
TURNAROUND_S = 0.004
"""A pty delivers at once; a real device needs its silence and the wire its time."""


def crc16(data: bytes) -> bytes:
    """Return the Modbus CRC (serial line V1.02 §6.2.2), written here anew: an independent peer."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ CRC_POLYNOMIAL if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


@dataclass(slots=True)
class CountingDevice:
    """A Modbus RTU server on a pty. Registers 0-1 hold the number of this answer (u32), 2 holds
    its last 15 bits; the rest is zero. `answers[n]` is when answer n was given (boottime ns)."""

    unit_id: int = 1
    answers: list[int] = field(default_factory=list)
    silent: bool = False
    port: str = ""
    _fds: tuple[int, ...] = ()
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "CountingDevice":
        """Open the pty and answer from a thread."""
        master, slave = pty.openpty()
        tty.setraw(slave, termios.TCSANOW)
        # The slave side stays open here: an agent that dies must not hang up the line.
        self._fds = (master, slave)
        self.port = os.ttyname(slave)
        self._thread = threading.Thread(target=self._serve, args=(master,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread and close the pty."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for fd in self._fds:
            os.close(fd)

    def _serve(self, master: int) -> None:
        heard = b""
        while not self._stop.is_set():
            ready, _, _ = select.select([master], [], [], 0.02)
            if not ready:
                heard = b""  # a pause ends a frame, also a killed agent's half one
                continue
            heard += os.read(master, 256)
            if len(heard) >= 8 and crc16(heard[:6]) == heard[6:8]:
                self._answer(master, heard[:8])
                heard = b""

    def _answer(self, master: int, request: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        if self.silent or unit != self.unit_id or function not in (3, 4) or not 1 <= count <= 125:
            return
        number = len(self.answers)
        words = [number >> 16, number & 0xFFFF, number & 0x7FFF]
        values = [words[a] if a < len(words) else 0 for a in range(address, address + count)]
        body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *values)
        time.sleep(TURNAROUND_S)
        self.answers.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        os.write(master, body + crc16(body))


class Relay:
    """A TCP relay in a thread. While `dark` it takes connections and bytes and passes nothing
    on: a half-open link. `cut` resets what is open."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._dark = asyncio.Event()
        self._lit = asyncio.Event()
        self._lit.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def dark(self) -> None:
        """Pass nothing on, in either direction, and say nothing."""
        self._loop.call_soon_threadsafe(self._lit.clear)

    def light(self) -> None:
        """Drop what hung in the dark (its state is lost, as in a NAT), then pass on again."""

        def switch() -> None:
            for writer in tuple(self._writers):
                writer.transport.abort()
            self._lit.set()

        self._loop.call_soon_threadsafe(switch)

    def cut(self) -> None:
        """Reset every connection: a TCP RST, as a firewall sends it."""

        def reset() -> None:
            for writer in tuple(self._writers):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

        self._loop.call_soon_threadsafe(reset)

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for writer in tuple(self._writers):
            writer.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        up_writer = None
        try:
            await self._lit.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(up_writer)
            await asyncio.gather(self._pipe(reader, up_writer), self._pipe(up_reader, writer))
        except OSError:
            pass
        finally:
            for each in (writer, up_writer):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._lit.wait()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


@dataclass(slots=True)
class Daemon:
    """One of our processes, started and killed as often as it takes. Output goes to `log`."""

    arguments: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    kills: list[int] = field(default_factory=list)
    """Boottime (ns) just before each SIGKILL."""
    prefix: list[str] = field(default_factory=list)
    """Words before the command, such as ``ip netns exec NAME``."""
    module: str = "gateway.cli.main"

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", self.module, *self.arguments],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Raises: RuntimeError if it ended by itself before."""
        self.check()
        assert self.process is not None
        self.kills.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.ensure_gone()
            raise

    def check(self) -> None:
        """Raise RuntimeError if it ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"ended by itself ({self.process.returncode}); see {self.log}")

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self.process is not None and self.process.poll() is None

    def ensure_gone(self) -> None:
        """Kill it if it still runs (tidying up)."""
        if self.running:
            self.kill()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def counting_device() -> Iterator[CountingDevice]:
    """A device for the length of a block."""
    device = CountingDevice().start()
    try:
        yield device
    finally:
        device.stop()


def seed_of(name: str) -> tuple[int, random.Random]:
    """Return a seed (from $GATEWAY_SEED, else new) and its generator, and print it."""
    seed = int(os.environ.get("GATEWAY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{name}: seed {seed} (GATEWAY_SEED={seed} repeats it)", flush=True)
    return seed, random.Random(seed)
