"""A device profile: what one model of device can be asked, as one TOML file.

Owns the profile's types and reading. A profile is data: ``<vendor>-<model>.toml``. What a site
chooses (unit id, intervals) is in the agent's file. The form is described in `config/README.md`;
its needs come from the public maps gathered for the profiles shipped.
"""

from dataclasses import dataclass

from gateway.config.document import Document, Section, SectionMaker
from gateway.config.points import TABLES, parse_defaults, parse_point
from gateway.config.problems import Parsed, Problems, shown
from gateway.modbus.point import MAX_READ_REGISTERS, PointSpec

BAUDS = (1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 230400)
PARITIES = ("none", "even", "odd")
MAX_POINTS = 1000


@dataclass(frozen=True, slots=True)
class SerialDefaults:
    """How the device talks when it leaves the factory; what `gateway scan` tries first."""

    baud: int = 9600
    parity: str = "none"
    stop_bits: int = 1
    unit_id: int = 1


@dataclass(frozen=True, slots=True)
class Probe:
    """Registers that tell this model: `words` must come back (each word ANDed with its mask)."""

    table: int
    address: int
    words: tuple[int, ...]
    masks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What one model can be asked. `holes`: (function code, first, last) never to be read."""

    name: str
    points: tuple[PointSpec, ...]
    vendor: str = ""
    model: str = ""
    serial: SerialDefaults = SerialDefaults()
    max_registers: int = MAX_READ_REGISTERS
    shape_step: int = 1
    holes: tuple[tuple[int, int, int], ...] = ()
    probes: tuple[Probe, ...] = ()

    def point(self, name: str) -> PointSpec | None:
        """Return the point of that name."""
        return next((spec for spec in self.points if spec.name == name), None)


def parse_profile(
    text: str, name: str, profile: str, make: SectionMaker | None = None
) -> Parsed[Profile]:
    """Read the profile called `profile` (its file's stem) from `text`; `name` is the file's,
    `make` makes the sections."""
    problems = Problems()
    root = Document.read(text, name, problems, make)
    if problems.problems:
        return problems.parsed(Profile(profile, ()))
    holes = parse_holes(root)
    max_registers = root.integer(
        "max_registers", MAX_READ_REGISTERS, low=1, high=MAX_READ_REGISTERS
    )
    result = Profile(
        name=profile,
        vendor=root.text("vendor", "", required=True, longest=64),
        model=root.text("model", "", required=True, longest=64),
        serial=_serial(root.section("serial")),
        max_registers=max_registers,
        shape_step=root.integer("shape_step", 1, low=0, high=8),
        holes=holes,
        probes=tuple(_probe(section) for section in root.sections("probe", 8)),
        points=_points(root, max_registers, holes),
    )
    root.close()
    return problems.parsed(result)


def _points(
    root: Section, max_registers: int, holes: tuple[tuple[int, int, int], ...]
) -> tuple[PointSpec, ...]:
    defaults = parse_defaults(root.section("defaults"))
    sections = root.sections("point", MAX_POINTS)
    if not sections and "point" not in root:
        root.problem("point", "missing", "add at least one [[point]]")
    points = []
    names: set[str] = set()
    for section in sections:
        spec = parse_point(section, None, defaults)
        section.close()
        check_readable(section, spec, max_registers, holes)
        if spec.name in names:
            section.problem("name", f"found {shown(spec.name)} again", "give each point its name")
        names.add(spec.name)
        points.append(spec)
    return tuple(points)


def check_readable(
    section: Section,
    spec: PointSpec,
    max_registers: int,
    holes: tuple[tuple[int, int, int], ...],
) -> None:
    """Note a point that the device's limits make unreadable."""
    if not spec.table.is_bits and spec.registers > max_registers:
        cure = f"the device gives at most {max_registers} registers at once (max_registers)"
        section.problem("registers", f"found {spec.registers}", cure)
    last = spec.address + (0 if spec.table.is_bits else spec.registers - 1)
    for table, low, high in holes:
        if table == spec.table.value and spec.address <= high and last >= low:
            section.problem(
                "address",
                f"found {spec.address}, inside the hole {low} to {high}",
                "correct the address or the hole",
            )
        scale = spec.scale_register
        if table == spec.table.value and scale is not None and low <= scale <= high:
            section.problem(
                "scale_register", f"inside the hole {low} to {high}", "correct one of the two"
            )


def parse_holes(section: Section) -> tuple[tuple[int, int, int], ...]:
    """Read ``[[hole]]``: addresses that must never be read."""
    holes = []
    for hole in section.sections("hole", 200):
        table = hole.text("table", "input", required=True, choices=tuple(TABLES))
        first = hole.integer("first", 0, low=0, high=65535, required=True)
        last = hole.integer("last", first, low=0, high=65535, required=True)
        hole.close()
        if last < first:
            hole.problem("last", f"found {last}", f"at least first ({first})")
        holes.append((TABLES[table].value, first, last))
    return tuple(holes)


def _serial(section: Section) -> SerialDefaults:
    plain = SerialDefaults()
    serial = SerialDefaults(
        baud=section.integer("baud", plain.baud, low=0, high=10**6, choices=BAUDS, unit="baud"),
        parity=section.text("parity", plain.parity, choices=PARITIES),
        stop_bits=section.integer("stop_bits", plain.stop_bits, low=1, high=2),
        unit_id=section.integer("unit_id", plain.unit_id, low=1, high=247),
    )
    section.close()
    return serial


def _probe(section: Section) -> Probe:
    table = section.text("table", "holding", required=True, choices=tuple(TABLES))
    probe = Probe(
        table=TABLES[table].value,
        address=section.integer("address", 0, low=0, high=65535, required=True),
        words=_words(section, "words", required=True),
        masks=_words(section, "masks"),
    )
    section.close()
    if probe.masks and len(probe.masks) != len(probe.words):
        section.problem("masks", f"found {len(probe.masks)}", f"{len(probe.words)}, as words has")
    return probe


def _words(section: Section, key: str, *, required: bool = False) -> tuple[int, ...]:
    found = section.items(
        key, "a list of register words, [0x4232, 0x3320]", MAX_READ_REGISTERS, of=int
    )
    if found is None and required and key not in section:
        section.problem(key, "missing", f"add {key} = [0x4232, 0x3320]")
    words = []
    for value in found or ():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            section.problem(key, f"found {shown(value)}", "register words are 0 to 0xFFFF")
        else:
            words.append(value)
    return tuple(words)
