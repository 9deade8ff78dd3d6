"""Finding and naming a device: is somebody there, what does it say of itself, which profile fits.

Owns the shortest question that any server answers, device identification (FC 43/14) over pymodbus's
PDUs, and the judgement of a profile: by its probe clause, by what the device says of itself, or by
whether its registers hold values that such a device would have. Never sends anything: a driver
answers the requests that `identify` yields. Never imports `config`: a profile comes as `Candidate`.

Source: Modbus application protocol V1.1b3 §6.21 (43/14), §7 (any exception proves a server).
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pymodbus.constants import DeviceInformation
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest, ReadDeviceInformationResponse

from gateway.modbus.crc import crc16
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.modbus.request import Request, read_request
from gateway.modbus.values import decode
from gateway.reading import Cause

MIN_FRAME = 4
MAX_FRAME = 256
READ_DEVICE_IDENTIFICATION = 43
MAX_TEXT = 64
_REQUESTS = FramerRTU(DecodePDU(True))
_REPLIES = DecodePDU(False)
SIGNATURE = 6
"""Points of a profile that are tried at most; the tell-tale ones first."""

Answer = tuple[int, ...] | None
"""Registers, or ``None``: refused, silent or damaged."""


class Certainty(IntEnum):
    """How sure a name is."""

    UNKNOWN = 0
    PROBABLE = 1
    """The registers hold what such a device would have; others may fit too."""
    CERTAIN = 2
    """The device said so: a probe clause, or its own identification."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Registers that tell a model: `words` must come back, each ANDed with its mask."""

    table: Table
    address: int
    words: tuple[int, ...]
    masks: tuple[int, ...] = ()

    def holds(self, registers: Sequence[int]) -> bool:
        """Tell whether these registers are the model's."""
        masks = self.masks or (0xFFFF,) * len(self.words)
        found = tuple(r & m for r, m in zip(registers, masks, strict=False))
        return found == tuple(w & m for w, m in zip(self.words, masks, strict=False))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile as far as naming needs it."""

    name: str
    vendor: str
    model: str
    clauses: tuple[Clause, ...]
    specs: tuple[PointSpec, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device was found to be. `said`: its own words (FC 43/14, SunSpec); `others`: profiles
    that fit as well; `evidence`: what speaks for it, as text; `points`: those of a device that
    described itself (SunSpec), which needs no profile."""

    profile: str | None = None
    certainty: Certainty = Certainty.UNKNOWN
    said: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    points: tuple[PointSpec, ...] = ()


# --- presence ---------------------------------------------------------------------------------


def presence_request(unit_id: int, table: Table = Table.INPUT) -> Request:
    """Build the shortest question that any server answers, if only with an exception.

    Two registers from 0: meters with 32-bit values refuse an odd count, and some are silent then.
    """
    return read_request(unit_id, table, 0, 2)


def frames_in(data: bytes, asked: bytes = b"") -> list[bytes]:
    """Return the whole frames (CRC valid) in `data`, without the echo of `asked`."""
    if asked and data.startswith(asked):
        data = data[len(asked) :]
    frames, start = [], 0
    while start + MIN_FRAME <= len(data):
        end = _frame_end(data, start)
        if end is None:
            start += 1
            continue
        frames.append(data[start:end])
        start = end
    return frames


def _frame_end(data: bytes, start: int) -> int | None:
    crc = crc16(data[start : start + MIN_FRAME - 1])
    for end in range(start + MIN_FRAME, min(len(data), start + MAX_FRAME) + 1):
        crc = crc16(data[end - 1 : end], crc)
        if crc == 0:
            return end
    return None


def answered(request: bytes) -> Callable[[bytes], bool]:
    """Return what tells, of the bytes so far, whether the unit asked has answered `request`."""

    def whole(data: bytes) -> bool:
        return any(
            frame[0] == request[0] and frame[1] & 0x7F == request[1]
            for frame in frames_in(data, request)
        )

    return whole


# --- device identification (§6.21) ----------------------------------------------------------


def identification_request(unit_id: int, object_id: int = 0) -> bytes:
    """Build the frame that asks for the basic objects from `object_id` on."""
    pdu = ReadDeviceInformationRequest(
        read_code=DeviceInformation.BASIC, object_id=object_id, dev_id=unit_id
    )
    return _REQUESTS.buildFrame(pdu)


def identification(data: bytes, request: bytes) -> tuple[dict[int, str], int | None]:
    """Return the objects in a reply to `request`, and the object to go on with (``None``: done).

    Anything but a well-formed reply gives nothing.
    """
    for frame in frames_in(data, request):
        if frame[0] != request[0] or frame[1] != READ_DEVICE_IDENTIFICATION:
            continue
        pdu = _REPLIES.decode(frame[1:-2])  # None for what it cannot read
        if not isinstance(pdu, ReadDeviceInformationResponse):
            continue
        objects: dict[int, str] = {}
        for number, value in pdu.information.items():
            first = value[0] if isinstance(value, list) and value else value
            raw = first if isinstance(first, bytes) else str(first).encode("utf-8", "replace")
            objects[int(number)] = _printable(raw)
        more = pdu.more_follows == 0xFF and pdu.next_object_id > max(objects, default=-1)
        return objects, pdu.next_object_id if more else None
    return {}, None


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip(" \0")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:MAX_TEXT]


# --- which profile ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Fit:
    """How well a profile fits: `telling` readings that chance would hardly give, `fair` ones that
    are possible, as text for the technician."""

    candidate: Candidate
    telling: list[str]
    fair: int = 0
    absent: int = 0
    """Tell-tale points that read exactly zero: a phase that is not connected, or that is not there
    at all."""

    @property
    def score(self) -> int:
        return len(self.telling) - self.absent


# By unit: the range of a value that tells something, because neither zero nor an accident of other
# registers is likely to fall into it. Mains 80-500 V covers 100 V to 400 V systems and their
# tolerance (EN 50160 ±10 %); mains frequency 45-65 Hz.
_TELLING = {"V": (80.0, 500.0), "Hz": (45.0, 65.0), "%RH": (10.0, 90.0)}
# What is possible at all; outside, the profile is wrong.
_POSSIBLE = {
    "V": (-1e5, 1e5),
    "A": (-1e5, 1e5),
    "Hz": (0.0, 1000.0),
    "°C": (-60.0, 200.0),
    "%RH": (0.0, 100.0),
    "%": (-1.0, 1000.0),
    "W": (-1e8, 1e8),
    "kWh": (-1e9, 1e9),
}
_ORDER = ("Hz", "%RH", "V", "°C", "A", "", "%")


def signature(candidate: Candidate) -> tuple[PointSpec, ...]:
    """Return the points to try, the tell-tale ones first; phases of one quantity all count."""
    numbers = [
        spec
        for spec in candidate.specs
        if spec.type not in (DataType.STR, DataType.BITS, DataType.ENUM)
        and not spec.table.is_bits
        and spec.scale_register is None
        and spec.unit in _ORDER
        and (spec.unit or spec.name.startswith("power_factor"))
    ]
    return tuple(sorted(numbers, key=lambda spec: _ORDER.index(spec.unit))[:SIGNATURE])


def identify(
    unit_id: int, candidates: Sequence[Candidate], said: Sequence[str] = ()
) -> Generator[Request, Answer, Identity]:
    """Yield reads, take their answers, return what the device is.

    Probe clauses come first: one that holds settles it. Then the device's own words, then which
    profile's tell-tale registers hold what they would on such a device.
    """
    known: dict[tuple[Table, int, int], Answer] = {}

    def read(table: Table, address: int, count: int) -> Generator[Request, Answer, Answer]:
        key = (table, address, count)
        if key not in known:
            known[key] = yield read_request(unit_id, table, address, count)
        return known[key]

    words = tuple(said)
    other: set[str] = set()
    for candidate in candidates:
        for clause in candidate.clauses:
            got = yield from read(clause.table, clause.address, len(clause.words))
            if got is None:
                continue
            other.add(candidate.name)
            if clause.holds(got):
                shown = " ".join(f"{word:04x}" for word in got)
                where = f"{clause.table.name.lower()} {clause.address:#06x} holds {shown}"
                return Identity(candidate.name, Certainty.CERTAIN, words, (where,))
    for candidate in candidates:
        if words and _says(words, candidate):
            return Identity(candidate.name, Certainty.CERTAIN, words, (" ".join(words),))
    fits: list[_Fit] = []
    for candidate in candidates:
        if candidate.name in other:
            continue  # its probe clause says that it is another model
        fit = _Fit(candidate, [])
        for spec in signature(candidate):
            got = yield from read(spec.table, spec.address, spec.registers)
            if not _weigh(spec, got, fit):
                break
        else:
            if fit.telling:
                fits.append(fit)
    return _best(fits, words)


def _says(words: Sequence[str], candidate: Candidate) -> bool:
    """Tell whether the device's own words name the profile's model."""
    text = "".join(c for word in words for c in word.lower() if c.isalnum())
    model = "".join(c for c in candidate.model.lower() if c.isalnum())
    return len(model) >= 3 and model in text


def _weigh(spec: PointSpec, got: Answer, fit: _Fit) -> bool:
    """Add one register's evidence; return whether the profile is still possible."""
    if got is None:
        return False
    value, cause = decode(spec, got)
    if cause is Cause.NULL_PATTERN:
        return True
    if cause is not Cause.NONE or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = _POSSIBLE.get(spec.unit, (-1.05, 1.05) if not spec.unit else (-1e12, 1e12))
    if not low <= value <= high:
        return False
    if spec.type in (DataType.F32, DataType.F64) and 0 < abs(value) < 1e-6:
        return False  # integers read as a float look like this
    telling = _TELLING.get(spec.unit)
    if telling is None:
        fit.fair += 1
    elif telling[0] <= value <= telling[1]:
        fit.telling.append(f"{spec.name} {value:.4g} {spec.unit}")
    elif value == 0:
        fit.absent += 1
    else:
        return False
    return True


def _best(fits: list[_Fit], words: tuple[str, ...]) -> Identity:
    if not fits:
        return Identity(said=words)
    fits.sort(key=lambda fit: (-fit.score, fit.absent, -fit.fair, fit.candidate.name))
    best = fits[0]
    others = tuple(fit.candidate.name for fit in fits[1:] if fit.score == best.score)
    return Identity(best.candidate.name, Certainty.PROBABLE, words, tuple(best.telling), others[:3])
