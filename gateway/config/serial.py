"""Settings of the plain serial sources: `[[serial]]`, `[serial.options]`, `[[serial.point]]`.

Owns these settings' types and reading. Which options there are is declared by the format, ours or a
plug-in's (`gateway.serial.format.Option`). Never knows the rest of the file but what must not be
used twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.bus import BusSettings
from gateway.config.document import Section
from gateway.config.points import NAME, NAME_EXPECTED, source_name
from gateway.config.problems import did_you_mean, shown
from gateway.config.profile import BAUDS, PARITIES
from gateway.serial.format import Format, Option, OptionError, Options, OptionValue
from gateway.serial.source import Asking
from gateway.serial.values import FieldSpec, FieldType

MAX_SOURCES = 64
MAX_POINTS = 256
SERIAL_BAUDS = (300, 600, *BAUDS)
MAX_QUESTION = 256


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A format that is known and cannot be used: what was `found`, and its `cure`."""

    found: str
    cure: str


Formats = Mapping[str, type[Format] | Unavailable]


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """`[[serial]]`. `asking` ``None``: the source talks by itself."""

    name: str
    port: str
    format: str
    format_type: type[Format]
    options: Options
    points: tuple[FieldSpec, ...]
    baud: int = 9600
    parity: str = "none"
    data_bits: int = 8
    stop_bits: int = 1
    asking: Asking | None = None
    silent_after_s: float = 60.0


def parse_serials(
    root: Section, formats: Formats, buses: tuple[BusSettings, ...]
) -> tuple[SerialSettings, ...]:
    """Read every ``[[serial]]``. `buses`: what names and ports are taken already."""
    names = {bus.name for bus in buses} | {d.name for bus in buses for d in bus.devices}
    ports = {bus.port for bus in buses}
    found = []
    for section in root.sections("serial", MAX_SOURCES):
        settings = _serial(section, formats)
        for key, value, taken in (
            ("name", section.values.get("name"), names),
            ("port", section.values.get("port"), ports),
        ):
            if isinstance(value, str) and value:
                if value in taken:
                    found_text = f"found {shown(value)}, already taken"
                    section.problem(key, found_text, f"give each source, bus and device its {key}")
                taken.add(value)
        if settings is not None:
            found.append(settings)
    return tuple(found)


def _serial(section: Section, formats: Formats) -> SerialSettings | None:
    name = source_name(section)
    port = section.text(
        "port", "", required=True, pattern=r"/.+", expected='a device path, "/dev/serial/by-id/…"'
    )
    if re.fullmatch(r"/dev/tty(USB|ACM)[0-9]+", port):
        section.warning(
            "port",
            f"{port} can be another adapter after the next start",
            "use the path below /dev/serial/by-id/ that leads to it",
        )
    baud = section.integer("baud", 9600, low=0, high=10**6, choices=SERIAL_BAUDS, unit="baud")
    parity = section.text("parity", "none", choices=PARITIES)
    data_bits = section.integer("data_bits", 8, low=7, high=8)
    stop_bits = section.integer("stop_bits", 1, low=1, high=2)
    asking = _asking(section)
    silent_after_s = section.number("silent_after_s", 60.0, low=0.1, high=86400.0, unit="seconds")
    if asking is not None and silent_after_s < asking.interval_s:
        cure = f"at least poll_interval_s ({asking.interval_s:g})"
        section.problem("silent_after_s", f"found {silent_after_s:g}", cure)
    kind = _format(section, formats)
    options = _options(section, kind)
    format = _made(section, kind, options)
    points = _points(section, format)
    section.close()
    if kind is None or options is None:
        return None
    return SerialSettings(
        name,
        port,
        section.text("format", ""),
        kind,
        options,
        points,
        baud,
        parity,
        data_bits,
        stop_bits,
        asking,
        silent_after_s,
    )


def _asking(section: Section) -> Asking | None:
    question = _raw(section, "ask", b"", MAX_QUESTION)
    interval_s = section.number("poll_interval_s", 1.0, low=0.05, high=86400.0, unit="seconds")
    timeout_s = section.number("timeout_s", None, low=0.01, high=60.0, unit="seconds")
    if not question:
        for key in ("poll_interval_s", "timeout_s"):
            if key in section:
                section.problem(key, "given without ask", 'add ask = "…\\r", or leave it out')
        return None
    if timeout_s is not None and timeout_s > interval_s:
        cure = f"at most poll_interval_s ({interval_s:g})"
        section.problem("timeout_s", f"found {timeout_s:g}", cure)
    return Asking(question, interval_s, min(1.0, interval_s) if timeout_s is None else timeout_s)


def _format(section: Section, formats: Formats) -> type[Format] | None:
    name = section.text(
        "format", "", required=True, expected="one of " + ", ".join(sorted(formats))
    )
    if not name:
        return None
    if name not in formats:
        section.problem("format", f"found {shown(name)}", did_you_mean(name, formats, "formats"))
        return None
    kind = formats[name]
    if isinstance(kind, Unavailable):
        section.problem("format", kind.found, kind.cure)
        return None
    return kind


def _options(section: Section, kind: type[Format] | None) -> Options | None:
    """Read what the format declares; ``None`` if it is not known."""
    before = len(section.document.problems.problems)
    table = section.section("options")
    if kind is None:
        return None
    given = {one.name: _option(table, one) for one in kind.OPTIONS}
    table.close()
    if len(section.document.problems.problems) > before:
        return None
    return Options.of(kind.OPTIONS, given)


def _option(table: Section, option: Option) -> OptionValue:
    default, name = option.default, option.name
    if isinstance(default, bool):
        return table.flag(name, default)
    if isinstance(default, int):
        return table.integer(
            name, default, low=int(option.low), high=int(option.high), required=option.required
        )
    if isinstance(default, float):
        return table.number(
            name, default, low=option.low, high=option.high, required=option.required
        )
    if isinstance(default, tuple):
        most = int(min(option.high, 1000))
        found = table.texts(name, f"a list of texts: {option.text}", most)
        if (found is None and name not in table and option.required) or found == ():
            table.problem(name, "missing" if found is None else "found []", f"give {option.text}")
        return default if found is None else found
    if option.control:
        return _raw(table, name, default.encode("latin-1"), 64).decode("latin-1")
    return table.text(
        name,
        default,
        required=option.required,
        choices=option.choices,
        expected=f"a text: {option.text}",
    )


def _raw(section: Section, key: str, default: bytes, longest: int) -> bytes:
    """Read a text whose characters, control characters too, are bytes."""
    section.note_asked(key)
    value = section.values.get(key, default.decode("latin-1"))
    expected = f'a text of at most {longest} bytes, "\\r\\n" or "\\u0002"'
    if not isinstance(value, str) or len(value) > longest:
        section.problem(key, f"found {shown(value)}", f"give {expected}")
        return default
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        section.problem(key, f"found {shown(value)}", f"give {expected}: each character is a byte")
        return default


def _made(section: Section, kind: type[Format] | None, options: Options | None) -> Format | None:
    """Make the format once, so that it says what no single option shows."""
    if kind is None or options is None:
        return None
    try:
        return kind(options)
    except OptionError as error:
        table = section.section("options")
        table.problem(error.name, error.found, error.cure)
    except Exception as error:  # noqa: BLE001 - a plug-in's mistake is a problem of the file
        section.problem("format", f"cannot be made: {error!r}", "tell the format's maker")
    return None


def _points(section: Section, format: Format | None) -> tuple[FieldSpec, ...]:
    before = len(section.document.problems.problems)
    points: list[FieldSpec] = []
    for table in section.sections("point", MAX_POINTS):
        spec = _point(table)
        table.close()
        if any(spec.name == other.name for other in points):
            table.problem("name", f"found {shown(spec.name)} again", "give each point its name")
        if format is not None and spec.field and format.group(spec.field) is None:
            known = format.FIELDS or _fields_of(section)
            cure = did_you_mean(spec.field, known, "fields") if known else "see docs/serial.md"
            table.problem("field", f"the format has no field {shown(spec.field)}", cure)
        points.append(spec)
    if not points and len(section.document.problems.problems) == before:
        section.problem("point", "missing", "add at least one [[serial.point]]")
    return tuple(points)


def _fields_of(section: Section) -> tuple[str, ...]:
    """Return the fields that the options themselves name: a list, or a pattern's groups."""
    table = section.values.get("options")
    options = table if isinstance(table, dict) else {}
    listed, pattern = options.get("fields"), options.get("pattern")
    if isinstance(listed, list):
        return tuple(word for word in listed if isinstance(word, str) and word)
    return tuple(re.findall(r"\(\?P<(\w+)>", pattern)) if isinstance(pattern, str) else ()


def _point(table: Section) -> FieldSpec:
    name = table.text("name", "", required=True, pattern=NAME, expected=NAME_EXPECTED)
    kind = FieldType(table.text("type", "number", choices=tuple(FieldType)))
    spec = FieldSpec(
        name=name,
        field=table.text("field", name, longest=128),
        type=kind,
        unit=table.text("unit", "", longest=16),
        scale=table.number("scale", 1.0, low=-1e12, high=1e12),
        offset=table.number("offset", 0.0, low=-1e12, high=1e12),
        minimum=table.number("minimum", None),
        maximum=table.number("maximum", None),
        null_patterns=table.texts("null_patterns", 'a list of texts, ["---"]', 16) or (),
        decimal_comma=table.flag("decimal_comma", False),
        decimals=table.integer("decimals", None, low=1, high=9),
    )
    numeric = {
        "scale": spec.scale != 1.0,
        "offset": spec.offset != 0.0,
        "minimum": spec.minimum is not None,
        "maximum": spec.maximum is not None,
        "decimals": spec.decimals is not None,
    }
    for key, given in numeric.items():
        if given and kind is not FieldType.NUMBER:
            table.problem(key, f"found on type {kind}", 'only type "number" has it')
    if spec.scale == 0.0:
        table.problem("scale", "found 0", "a scale other than 0 (1.0 leaves the value as it is)")
    if spec.minimum is not None and spec.maximum is not None and spec.minimum >= spec.maximum:
        table.problem("minimum", f"found {spec.minimum:g}", f"less than maximum {spec.maximum:g}")
    return spec
