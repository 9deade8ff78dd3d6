"""Pins that the virtual bus answers like the real devices and is never faster than the wire."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient

from gateway.cli.virtual_bus import request_length, silence_s
from gateway.cli.virtual_devices import Load, Quantity, demo_devices


class BusProcess:
    """The bus's own process, as the demo starts it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "gateway.cli.virtual_bus", "--baud", "19200"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = self._line()["port"]

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def counts(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        counts: dict[str, float] = self._line()
        return counts


@pytest.fixture(scope="module")
def bus() -> Iterator[BusProcess]:
    """A running bus."""
    running = BusProcess()
    yield running
    running.process.communicate("", timeout=30)
    assert running.process.returncode == 0


@pytest.fixture
def client(bus: BusProcess) -> Iterator[ModbusSerialClient]:
    """An independent client: pymodbus's."""
    client = ModbusSerialClient(bus.port, baudrate=19200, timeout=0.4, retries=0)
    assert client.connect()
    yield client
    client.close()


def test_never_faster_than_the_wire(client: ModbusSerialClient) -> None:
    """A read of 80 registers takes at least its characters and the turnaround."""
    started = time.monotonic()
    reply = client.read_input_registers(0, count=80, device_id=1)
    elapsed = time.monotonic() - started
    assert len(reply.registers) == 80
    assert elapsed >= (8 + 5 + 160) * 10 / 19200 + 0.006


def test_values_are_plausible_and_energy_rises(client: ModbusSerialClient) -> None:
    """Voltages are near 230 V, differ from read to read, and the counters only rise."""
    first = client.read_input_registers(0, count=6, device_id=1)
    volts = client.convert_from_registers(first.registers, client.DATATYPE.FLOAT32)
    assert all(220 < value < 240 for value in volts)
    assert client.read_input_registers(0, count=6, device_id=1).registers != first.registers
    energies = [_u64(client, 5, 0x5000) for _ in range(2)]
    assert energies[0] <= energies[1]
    assert energies[0] > 9_000_000


def test_low_word_first(client: ModbusSerialClient) -> None:
    """The PZEM-016's energy is above 16 bits and comes low word first."""
    words = client.read_input_registers(5, count=2, device_id=3).registers
    assert 731_050 <= words[0] | words[1] << 16 < 732_000


def test_refusals_and_silence_are_counted(bus: BusProcess, client: ModbusSerialClient) -> None:
    """An address outside a map is refused, an absent unit id gets no reply, both are counted."""
    before = bus.counts()
    refused = client.read_input_registers(3000, count=2, device_id=1)
    assert refused.isError()
    assert refused.exception_code == 2
    with pytest.raises(Exception, match="No response"):
        client.read_input_registers(0, count=2, device_id=9)
    after = bus.counts()
    assert after["requests"] - before["requests"] == 2
    assert after["replies"] - before["replies"] == 1
    assert after["unanswered"] - before["unanswered"] == 1
    assert 0 < after["busy_s"] < after["elapsed_s"]


def _u64(client: ModbusSerialClient, unit_id: int, address: int) -> int:
    words = client.read_holding_registers(address, count=4, device_id=unit_id).registers
    return int(client.convert_from_registers(words, client.DATATYPE.UINT64))


def test_request_length_of_every_function_code() -> None:
    """Reads and single writes are eight characters; multiple writes say theirs."""
    assert request_length(b"\x01") is None
    assert request_length(b"\x01\x04") == 8
    assert request_length(b"\x01\x10\x00\x00\x00\x02") is None
    assert request_length(b"\x01\x10\x00\x00\x00\x02\x04") == 13


def test_silence_is_fixed_above_19200_baud() -> None:
    """t3.5 is 3.5 characters up to 19200 baud and 1.75 ms above (serial line V1.02 §2.5.1.1)."""
    assert silence_s(9600) == pytest.approx(35 / 9600)
    assert silence_s(38400) == silence_s(115200) == 0.00175


def test_quantities_fit_their_types_for_a_day() -> None:
    """No value of a demo device leaves its register type while a day passes."""
    for device in demo_devices():
        for hour in range(25):
            device.load.advance(hour * 3600.0)
            for quantity in device.quantities:
                assert quantity.registers(device.load)


def test_energy_never_falls() -> None:
    """A clock that does not move adds nothing, one that moves adds power times time."""
    load = Load(1000.0, 0.0, 5.0)
    load.advance(0.0)
    assert load.energy_kwh == 5.0
    for second in range(1, 3601):
        load.advance(float(second))
    assert 7.5 < load.energy_kwh < 10.0


def test_word_order() -> None:
    """Low word first swaps the words, not the bytes."""
    load = Load(0.0, 0.0, 0.0)
    assert Quantity(0, "u32", lambda load: 0x12345678).registers(load) == [0x1234, 0x5678]
    assert Quantity(0, "u32", lambda load: 0x12345678, 1, True).registers(load) == [0x5678, 0x1234]
