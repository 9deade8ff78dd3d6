"""Requests to a server on the bus: frames to send and the shape of the reply to expect.

Owns building (pymodbus's PDU classes and frame builder, once per block: the bytes are cached) and
the reply's value type. Never sends anything; recognising the reply is in `rtu`.

Source: Modbus application protocol V1.1b3 §6.1-6.6, §6.11, §6.12; Modbus over serial line V1.02
§2.5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.pdu import ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from gateway.errors import LocalProtocolError
from gateway.modbus.point import MAX_READ_BITS, MAX_READ_REGISTERS, Table

BROADCAST = 0
"""The unit id every server hears and none answers (serial line V1.02 §2.2)."""
MAX_UNIT_ID = 247
MAX_WRITE_REGISTERS = 123
"""Application protocol V1.1b3 §6.12."""
MAX_WRITE_BITS = 1968
"""Application protocol V1.1b3 §6.11."""
FRAME_OVERHEAD = 5
"""Characters of a read reply beside its data: unit id, function, byte count, CRC."""
CACHED_REQUESTS = 4096

_FRAMER = FramerRTU(DecodePDU(False))


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it stands on the wire.

    `count`: registers (bits for coils and discrete inputs) asked for or written. `echoed`: bytes a
    write's reply must carry after the unit id; empty for a read.
    """

    unit_id: int
    function: int
    address: int
    count: int
    frame: bytes
    echoed: bytes = b""

    @property
    def is_read(self) -> bool:
        return self.function <= 4

    @property
    def is_bits(self) -> bool:
        return self.function in (1, 2, 5, 15)

    @property
    def byte_count(self) -> int:
        """Data bytes of a read's reply; with the function code its *shape*."""
        return (self.count + 7) // 8 if self.is_bits else 2 * self.count

    @property
    def reply_length(self) -> int:
        """Characters of the whole good reply; 0 for a broadcast, which nobody answers."""
        if self.unit_id == BROADCAST:
            return 0
        return FRAME_OVERHEAD + self.byte_count if self.is_read else 3 + len(self.echoed)

    def __str__(self) -> str:
        """Name the request as error messages do."""
        return f"unit id {self.unit_id} function {self.function} {self.address}+{self.count}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `registers` or `bits` is filled for a read, neither for a write.

    `source_time_ns`: CLOCK_BOOTTIME when the reply was complete. `turnaround_s`: from the end of
    the request to the start of the reply, as estimated on the wire.
    """

    source_time_ns: int
    turnaround_s: float
    registers: tuple[int, ...] = ()
    bits: tuple[bool, ...] = ()


@lru_cache(CACHED_REQUESTS)
def read_request(unit_id: int, table: Table, address: int, count: int) -> Request:
    """Build FC 1-4. Raises: LocalProtocolError outside the protocol's limits."""
    limit = MAX_READ_BITS if table.is_bits else MAX_READ_REGISTERS
    _check(unit_id, address, count, limit)
    if unit_id == BROADCAST:
        raise LocalProtocolError("unit id 0 is the broadcast: nobody answers a read; use 1-247")
    pdu_type = _READS[table]
    return _request(pdu_type(address=address, count=count, dev_id=unit_id), address, count)


def write_coil(unit_id: int, address: int, value: bool) -> Request:
    """Build FC 5."""
    _check(unit_id, address, 1, 1)
    pdu = WriteSingleCoilRequest(address=address, bits=[value], dev_id=unit_id)
    return _request(pdu, address, 1)


def write_register(unit_id: int, address: int, value: int) -> Request:
    """Build FC 6. `value`: 0-65535."""
    _check(unit_id, address, 1, 1)
    _check_registers((value,))
    pdu = WriteSingleRegisterRequest(address=address, registers=[value], dev_id=unit_id)
    return _request(pdu, address, 1)


def write_coils(unit_id: int, address: int, values: Sequence[bool]) -> Request:
    """Build FC 15."""
    _check(unit_id, address, len(values), MAX_WRITE_BITS)
    pdu = WriteMultipleCoilsRequest(address=address, bits=list(values), dev_id=unit_id)
    return _request(pdu, address, len(values))


def write_registers(unit_id: int, address: int, values: Sequence[int]) -> Request:
    """Build FC 16. `values`: 0-65535 each."""
    _check(unit_id, address, len(values), MAX_WRITE_REGISTERS)
    _check_registers(values)
    pdu = WriteMultipleRegistersRequest(address=address, registers=list(values), dev_id=unit_id)
    return _request(pdu, address, len(values))


_READS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE: ReadDiscreteInputsRequest,
    Table.HOLDING: ReadHoldingRegistersRequest,
    Table.INPUT: ReadInputRegistersRequest,
}


def _request(pdu: ModbusPDU, address: int, count: int) -> Request:
    frame = _FRAMER.buildFrame(pdu)
    function = frame[1]
    # §6.5, §6.6: function, address and value come back; §6.11, §6.12: function, address, quantity.
    echoed = frame[1:6] if function > 4 else b""
    return Request(pdu.dev_id, function, address, count, frame, echoed)


def _check(unit_id: int, address: int, count: int, limit: int) -> None:
    if not 0 <= unit_id <= MAX_UNIT_ID:
        raise LocalProtocolError(f"unit id {unit_id}: 0-{MAX_UNIT_ID} can be addressed on a bus")
    if not 1 <= count <= limit:
        raise LocalProtocolError(
            f"unit id {unit_id} address {address}: {count} items in one request, 1-{limit} allowed"
        )
    if not 0 <= address <= 0x10000 - count:
        raise LocalProtocolError(
            f"unit id {unit_id} address {address}+{count}: a table ends at 65535"
        )


def _check_registers(values: Sequence[int]) -> None:
    for value in values:
        if not 0 <= value <= 0xFFFF:
            raise LocalProtocolError(f"register value {value}: a register holds 0-65535")
