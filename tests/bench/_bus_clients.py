"""The clients that `tests.bench.bus` measures, each in a process of its own.

    python -m tests.bench._bus_clients CLIENT PATH BAUD RT speed SECONDS COUNT
    python -m tests.bench._bus_clients CLIENT PATH BAUD RT faults POLLS UNITS
    python -m tests.bench._bus_clients ours PATH BAUD RT cycle SECONDS TURNAROUND_MS

CLIENT: ours, pymodbus, minimalmodbus. Prints one JSON object, as libmodbus_client.c does.
"""

import asyncio
import json
import logging
import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import minimalmodbus
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException

from gateway.agent.bus import Bus
from gateway.agent.port import precise_timers
from gateway.config.agent import BusSettings
from gateway.errors import BusError
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import read_request
from gateway.polling.blocks import Limits, Timing, items_of, plan, plan_cost
from gateway.process.clock import Clock
from tests.paced import registers, silence_s

FAULT_TIMEOUT_S, SPEED_TIMEOUT_S = 0.2, 1.0
"""Some clients count the whole reply: 205 characters take 0.23 s at 9600."""
BLOCKS = 8
COUNT = 10
ADDRESSES = (*range(0, 80, 4), 0x46, 0x48, 0x4A, 0xC8, 0xCA, 0xE0, 0xEA, 0xF8, 0x100, 0x102)
ADDRESSES += (0x14E, 0x150, 0x156, 0x158, 0x17C)
POINTS = tuple(PointSpec(f"p{a}", Table.HOLDING, a, DataType.F32, 2) for a in sorted(ADDRESSES))
LIMITS = Limits(max_registers=80)
"""35 float points within 0-381, as an SDM630 has them; it gives 80 registers at most."""

Read = Callable[[int, int, int], Awaitable[tuple[int, ...] | None]]
"""(unit id, address, count) → registers, or ``None`` when the attempt failed."""


def ours(path: Path, baud: int, timeout_s: float) -> Read:
    """This project's bus."""
    precise_timers()
    bus = Bus(BusSettings("bench", str(path), baud=baud, parity="none", stop_bits=2), Clock())
    bus.open()

    async def read(unit_id: int, address: int, count: int) -> tuple[int, ...] | None:
        try:
            request = read_request(unit_id, Table.HOLDING, address, count)
            return bus.transact(request, timeout_s).registers
        except BusError:
            return None

    return read


async def pymodbus(path: Path, baud: int, timeout_s: float) -> Read:
    """pymodbus's asyncio client; the retry is made here, as for all."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    client = AsyncModbusSerialClient(
        str(path), baudrate=baud, stopbits=2, timeout=timeout_s, retries=0
    )
    await client.connect()

    async def read(unit_id: int, address: int, count: int) -> tuple[int, ...] | None:
        try:
            got = await client.read_holding_registers(address, count=count, device_id=unit_id)
        except ModbusException:
            if not client.connected:
                await client.connect()
            return None
        return None if got.isError() else tuple(got.registers)

    return read


def minimal(path: Path, baud: int, timeout_s: float) -> Read:
    """minimalmodbus, one instrument per unit on a shared port."""
    instruments = {}
    for unit_id in (1, 2):
        instrument = instruments[unit_id] = minimalmodbus.Instrument(str(path), unit_id)
        instrument.serial.baudrate = baud
        instrument.serial.stopbits = 2
        instrument.serial.timeout = timeout_s

    async def read(unit_id: int, address: int, count: int) -> tuple[int, ...] | None:
        try:
            return tuple(instruments[unit_id].read_registers(address, count))
        except (OSError, minimalmodbus.ModbusException, ValueError):
            return None

    return read


def cpu_s() -> float:
    """Return the CPU time of this process, kernel included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def speed(read: Read, seconds: float, count: int) -> dict[str, float]:
    """Read one block again and again."""
    for _ in range(3):
        await read(1, 100, count)
    n, start, used = 0, time.monotonic(), cpu_s()
    while time.monotonic() - start < seconds:
        n += await read(1, 100, count) is not None
    return {"n": n, "seconds": time.monotonic() - start, "cpu_s": cpu_s() - used}


async def faults(read: Read, polls: int, units: int) -> dict[str, object]:
    """Poll eight blocks of one length with one retry and check every value."""
    wrong, lost, ms = 0, 0, []
    for k in range(polls):
        block = k % BLOCKS
        unit_id, address = 1 + block % units, block * 20 + 5
        start = time.monotonic()
        for _ in range(2):
            got = await read(unit_id, address, COUNT)
            if got is not None:
                wrong += got != registers(unit_id, address, COUNT)
                break
        else:
            lost += 1
        ms.append(round((time.monotonic() - start) * 1e3, 2))
    return {"wrong": wrong, "lost": lost, "ms": ms}


async def cycle(read: Read, seconds: float, turnaround_s: float, baud: int) -> dict[str, float]:
    """Read 35 points of an SDM630-like map by the exact plan, again and again."""
    character_s = 11 / baud
    timing = Timing(character_s, silence_s(baud, 11), turnaround_s)
    blocks = plan(items_of(POINTS, LIMITS, range(len(POINTS))), timing, LIMITS).blocks
    took: list[float] = []
    start = time.monotonic()
    while time.monotonic() - start < seconds or len(took) < 5:
        began = time.monotonic()
        for block in blocks:
            assert await read(1, block.address, block.count) is not None
        took.append(time.monotonic() - began)
    single_s = len(POINTS) * timing.cost(Table.HOLDING, 2)
    return {
        "cycle_s": statistics.median(took[1:]),
        "plan_s": plan_cost(blocks, timing),
        "blocks": len(blocks),
        "single_s": single_s,
    }


async def main(arguments: list[str]) -> None:
    """Run one measurement and print it."""
    client, path, baud, rt, kind, first, second = arguments[:7]
    if int(rt):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(int(rt)))
    timeout_s = FAULT_TIMEOUT_S if kind == "faults" else SPEED_TIMEOUT_S
    if client == "ours":
        read = ours(Path(path), int(baud), timeout_s)
    elif client == "pymodbus":
        read = await pymodbus(Path(path), int(baud), timeout_s)
    else:
        read = minimal(Path(path), int(baud), timeout_s)
    if kind == "speed":
        print(json.dumps(await speed(read, float(first), int(second))))
    elif kind == "cycle":
        turnaround_s = float(second) / 1e3
        print(json.dumps(await cycle(read, float(first), turnaround_s, int(baud))))
    else:
        print(json.dumps(await faults(read, int(first), int(second))))
    sys.stdout.flush()
    os._exit(0)  # pymodbus's client would go on reconnecting


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
