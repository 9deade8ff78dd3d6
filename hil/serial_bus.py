"""A device on a pty that is as slow as its wire, can be unplugged, and can be noisy.

Owns the pacing (a pty delivers at once and knows no parity: characters take 10 bits, 8N1), the
device's answers, and what the port looks like when the adapter is pulled out: the far end hangs up
and the link vanishes; plugged in again it is another pty under the same link.

Source: Modbus over serial line V1.02 §2.5.1; Modbus application protocol V1.1b3 §6.3.
"""

import os
import random
import select
import struct
import threading
import time
import tty
from pathlib import Path

BAUD = 19200
BITS = 10
TURNAROUND_S = 0.005
FIFO = 8
"""Characters a UART gathers before it hands them over."""
GONE_S = 10.0
"""The thread looks every 50 ms; a reply at this baud takes 150 ms."""
UNIT_ID = 1
POLYNOMIAL = 0xA001
CONFIG = """
[[bus]]
name = "rs485-1"
port = "{port}"
baud = {baud}
parity = "none"

[[bus.device]]
name = "counter"
unit_id = 1
timeout_s = 0.5
retries = 0
poll_interval_s = 1.0

[[bus.device.point]]
name = "answers"
table = "holding"
address = 0
type = "u16"
"""


class SerialBus:
    """One device. Register 0 counts its answers. `port`: the link the agent opens."""

    def __init__(self, port: Path, seed: int) -> None:
        self.port = port
        self.answers = 0
        self.spoilt = 0
        self.noise = 0.0
        """Part of the replies that have a damaged character."""
        self._random = random.Random(seed)
        self._master = self._slave = -1
        self._plugged = False
        self._present, self._gone = threading.Event(), threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"hil.bus[{port}]", daemon=True)
        self.plug()
        self._thread.start()

    def config(self) -> str:
        """Return the agent's `[[bus]]` section."""
        return CONFIG.format(port=self.port, baud=BAUD)

    def plug(self) -> None:
        """Put the adapter in: a fresh pty under the link. Idempotent."""
        if self._plugged:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        fresh = self.port.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        os.replace(fresh, self.port)
        self._gone.clear()
        self._plugged = True
        self._present.set()

    def unplug(self) -> None:
        """Pull the adapter out: EIO for whoever has it open, no file for whoever would. Raises:
        TimeoutError."""
        if not self._plugged:
            return
        self.port.unlink(missing_ok=True)
        # The thread closes what it may be waiting for: a descriptor closed under it would be
        # kept, or be somebody else's by then.
        self._plugged = False
        if not self._gone.wait(GONE_S):
            raise TimeoutError(f"the thread of {self.port} does not let go of its pty")

    def close(self) -> None:
        """Unplug and end the thread."""
        self.unplug()
        self._stopped.set()
        self._present.set()
        self._thread.join(GONE_S)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._present.wait()
            self._present.clear()
            self._live()

    def _live(self) -> None:
        """Answer as long as the adapter is plugged in."""
        heard = b""
        while self._plugged:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready:
                heard = b""  # a silence ends a frame
                continue
            heard += os.read(self._master, 256)
            if len(heard) >= 8:
                self._answer(heard[:8])
                heard = b""
        if self._master >= 0:
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1
            self._gone.set()

    def _answer(self, request: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        fits = function in (3, 4) and 1 <= count <= 125
        if crc16(request[:6]) != request[6:8] or unit != UNIT_ID or not fits:
            return
        self.answers += 1
        words = [self.answers & 0xFFFF if a == 0 else 0 for a in range(address, address + count)]
        body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)
        reply = bytearray(body + crc16(body))
        if self._random.random() < self.noise:
            self.spoilt += 1
            reply[self._random.randrange(len(reply))] ^= 1 << self._random.randrange(8)
        character_s = BITS / BAUD
        at = time.monotonic() + len(request) * character_s + TURNAROUND_S
        for start in range(0, len(reply), FIFO):
            piece = bytes(reply[start : start + FIFO])
            at += len(piece) * character_s
            time.sleep(max(0.0, at - time.monotonic()))
            os.write(self._master, piece)


def crc16(data: bytes) -> bytes:
    """Return the CRC of a frame (serial line V1.02 §6.2.2), written here anew: another peer."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ POLYNOMIAL if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")
