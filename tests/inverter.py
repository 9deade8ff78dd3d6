"""A SunSpec inverter on a pty, for the parts that talk to a real port.

Owns answering reads from the registers that `tests/modbus/test_sunspec.py` wrote out by hand.
"""

import contextlib
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.modbus.test_sunspec import COMMON, INVERTER
from tests.modbus.test_sunspec import device as registers_of
from tests.rig import TURNAROUND_S, CountingDevice, crc16


@dataclass
class Inverter(CountingDevice):
    """Unit 1: models 1 and 103 from 40000 on; another register is refused (exception 2)."""

    registers: dict[int, int] = field(default_factory=lambda: registers_of(40000, COMMON, INVERTER))

    def _answer(self, master: int, request: bytes) -> None:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        if unit != self.unit_id:
            return
        words = [self.registers.get(a) for a in range(address, address + count)]
        if function != 3 or None in words:
            body = bytes((unit, function | 0x80, 2))
        else:
            body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)
        time.sleep(TURNAROUND_S)
        os.write(master, body + crc16(body))


@contextlib.contextmanager
def inverter() -> Iterator[Inverter]:
    """Run an inverter; yield it with its port."""
    one = Inverter()
    one.start()
    try:
        yield one
    finally:
        one.stop()
