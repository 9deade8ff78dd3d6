"""The JSON Schema of the config files, made by listening to their own parsers.

Owns the listening (`Listener` stands in for `Section` and notes what each getter asks for) and the
schema made of it, so that no key, range or choice is written down twice. A schema knows types,
ranges, choices and spelling; rules between keys are only the parser's: `gateway check` judges, the
schema helps while typing.

Source: JSON Schema 2020-12 (core, validation).
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.config import agent, centre
from gateway.config.document import Document, F, N, S, Section
from gateway.config.positions import Path
from gateway.config.profile import Profile, parse_profile
from gateway.modbus.point import DataType, PointSpec, Table
from gateway.serial.builtin import BUILT_IN

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Json = dict[str, object]
Parser = Callable[[str, Callable[..., Section]], object]


@dataclass(slots=True)
class Shape:
    """What was asked of the tables at one place. `needs`: how often a key was required there."""

    keys: dict[str, "Shape | Json"] = field(default_factory=dict)
    needs: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    listed: int | None = None
    """The most tables in a list of them; ``None``: it is one table."""
    free: str | None = None
    """The pattern of keys that are the writer's own."""
    most: int | None = None

    def note(self, key: str, asked: Json, required: bool) -> None:
        """Add what a getter asked for `key`."""
        self.needs[key] = self.needs.get(key, 0) + required
        known = self.keys.get(key)
        self.keys[key] = _merged(known, asked) if isinstance(known, dict) else asked

    def table(self, key: str) -> "Shape":
        """Return the shape of the tables below `key`."""
        known = self.keys.get(key)
        if not isinstance(known, Shape):
            known = self.keys[key] = Shape()
        return known

    def schema(self) -> Json:
        """Return the JSON Schema of what was asked."""
        result: Json = {"type": "object", "additionalProperties": False}
        if self.free is not None:
            leaves = [leaf for leaf in self.keys.values() if isinstance(leaf, dict)]
            result["patternProperties"] = {_whole(self.free): leaves[0] if leaves else {}}
            if self.most is not None:
                result["maxProperties"] = self.most
            return result
        result["properties"] = {
            key: shape.schema() if isinstance(shape, Shape) else shape
            for key, shape in sorted(self.keys.items())
        }
        required = [key for key in sorted(self.keys) if self.needs.get(key) == self.opened]
        if required:
            result["required"] = required
        return (
            {"type": "array", "maxItems": self.listed, "items": result} if self.listed else result
        )


class Listener(Section):
    """A section that notes what it is asked, and shows one table of every list of tables."""

    def __init__(
        self, document: Document, values: dict[str, object], path: Path, label: str, shape: Shape
    ) -> None:
        super().__init__(document, values, path, label)
        self.shape = shape
        shape.opened += 1

    def text(
        self,
        key: str,
        default: S,
        *,
        required: bool = False,
        choices: Collection[str] = (),
        pattern: str = "",
        expected: str = "a text in quotes",
        longest: int = 1024,
        secret: bool = False,
        known: Collection[str] = (),
    ) -> str | S:
        asked: Json = {"type": "string"}
        words = list(choices or known)
        if words:
            asked["enum"] = words
        else:
            asked |= {"maxLength": longest, "description": expected}
            if pattern:
                asked["pattern"] = _whole(pattern)
            elif required:
                asked["minLength"] = 1
        self._note(key, asked, required, default)
        return super().text(
            key,
            default,
            required=required,
            choices=choices,
            pattern=pattern,
            expected=expected,
            longest=longest,
            secret=secret,
        )

    def integer(
        self,
        key: str,
        default: N,
        *,
        low: int,
        high: int,
        required: bool = False,
        choices: Sequence[int] = (),
        unit: str = "",
    ) -> int | N:
        asked: Json = {"type": "integer"}
        asked |= {"enum": list(choices)} if choices else {"minimum": low, "maximum": high}
        asked |= {"description": unit} if unit else {}
        self._note(key, asked, required, default)
        return super().integer(
            key, default, low=low, high=high, required=required, choices=choices, unit=unit
        )

    def number(
        self,
        key: str,
        default: F,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        required: bool = False,
        unit: str = "",
    ) -> float | F:
        asked: Json = {"type": "number"}
        asked |= {"minimum": low} if math.isfinite(low) else {}
        asked |= {"maximum": high} if math.isfinite(high) else {}
        asked |= {"description": unit} if unit else {}
        self._note(key, asked, required, default)
        return super().number(key, default, low=low, high=high, required=required, unit=unit)

    def flag(self, key: str, default: bool) -> bool:
        self._note(key, {"type": "boolean"}, False, default)
        return super().flag(key, default)

    def items(
        self, key: str, expected: str, most: int, *, of: type = object
    ) -> list[object] | None:
        if of is not dict:
            kind = "string" if of is str else "integer"
            entries: Json = {} if of is object else {"type": kind}
            asked: Json = {"type": "array", "maxItems": most, "items": entries}
            self._note(key, asked | {"description": expected}, False, None)
        return super().items(key, expected, most, of=of)

    def note_asked(self, key: str) -> None:
        self._note(key, {}, False, None)
        super().note_asked(key)

    def free_keys(self, pattern: str, most: int | None = None) -> None:
        self.shape.free, self.shape.most = pattern, most
        self.text("", "", longest=64 if most is None else 128)

    def section(self, key: str, *, required: bool = False) -> Section:
        self.shape.needs[key] = self.shape.needs.get(key, 0) + required
        self.shape.table(key)
        return super().section(key, required=required)

    def sections(self, key: str, most: int) -> list[Section]:
        self.shape.table(key).listed = most
        found = super().sections(key, most)
        # An empty list would leave its tables' keys unasked.
        return found or [self.document.make(self.document, {}, (*self.path, key, 0), self.key(key))]

    def _note(self, key: str, asked: Json, required: bool, default: object) -> None:
        if default not in (None, "") and not required:
            asked["default"] = default
        self.shape.note(key, asked, required)


def listened(parser: Parser, texts: Sequence[str]) -> Shape:
    """Run a parser over `texts` and return everything it asked for."""
    top = Shape()

    def make(document: Document, values: dict[str, object], path: Path, label: str) -> Section:
        shape = top
        for part in path:
            shape = shape.table(part) if isinstance(part, str) else shape
        return Listener(document, values, path, label, shape)

    for text in texts:
        parser(text, make)
    return top


def agent_schema(profiles: Collection[str]) -> Json:
    """Return the schema of the agent's file; `profiles`: names worth offering."""
    spec = PointSpec("p", Table.HOLDING, 0, DataType.U16, 1)
    known: Mapping[str, Profile | None] = {**dict.fromkeys(profiles), "p": Profile("p", (spec,))}

    def parser(text: str, make: Callable[..., Section]) -> object:
        return agent.parse(text, "schema", known, make=make)

    device = '[[bus]]\n[[bus.device]]\nprofile = "p"\n[[bus.device.point]]\n'
    serial = tuple(f'[[serial]]\nformat = "{name}"\n[serial.options]\n' for name in BUILT_IN)
    texts = ("", device + 'name = "p"\n', device + 'type = "str"\n', *serial)
    shape = listened(parser, texts)
    _open_options(shape.table("serial"))
    _offer(shape, ("bus", "device", "profile"), profiles)
    return _document(shape, "An agent's file (gateway.toml)")


def centre_schema() -> Json:
    """Return the schema of the centre's file."""

    def parser(text: str, make: Callable[..., Section]) -> object:
        return centre.parse(text, "schema", make=make)

    return _document(listened(parser, ("[tls]\n", "[centre]\n")), "A centre's file (centre.toml)")


def profile_schema() -> Json:
    """Return the schema of a device profile."""

    def parser(text: str, make: Callable[..., Section]) -> object:
        return parse_profile(text, "schema", "schema", make=make)

    table = '[[point]]\ntable = "input"\n'
    texts = ("", '[defaults]\ntable = "input"\ntype = "u16"\n', table + 'type = "str"\n')
    return _document(listened(parser, texts), "A device profile")


def _document(shape: Shape, title: str) -> Json:
    return {"$schema": DIALECT, "title": title, **shape.schema()}


def _offer(shape: Shape, path: Sequence[str], words: Collection[str]) -> None:
    """Offer words for a key without refusing others: profiles differ from site to site."""
    for part in path[:-1]:
        shape = shape.table(part)
    shape.keys[path[-1]] = {
        "anyOf": [{"enum": sorted(words)}, {"type": "string", "minLength": 1}],
        "description": "a shipped profile, or one of the site's own",
    }


def _open_options(serial: Shape) -> None:
    """Offer the built-in formats' options together; a plug-in's cannot be known here."""
    options = serial.table("options").schema()
    properties = options.pop("properties")
    assert isinstance(properties, dict)
    for asked in properties.values():
        asked.pop("default", None)  # differs from format to format
    serial.keys["options"] = {
        **options,
        "properties": properties,
        "required": [],
        "additionalProperties": True,
    }
    serial.keys["format"] = {
        "anyOf": [{"enum": sorted(BUILT_IN)}, {"type": "string", "minLength": 1}],
        "description": "a built-in format, or one that a package adds",
    }


def _whole(pattern: str) -> str:
    """Return a pattern that must match the whole text, as Python's fullmatch."""
    return f"^(?:{pattern})$"


def _merged(one: Json, other: Json) -> Json:
    """Return what both allow together: a key that is asked in two ways takes either."""
    if one == other:
        return one
    merged = {key: value for key, value in one.items() if other.get(key) == value}
    for key, widest in (("minimum", min), ("maximum", max), ("maxLength", max)):
        a, b = one.get(key), other.get(key)
        if isinstance(a, int | float) and isinstance(b, int | float):
            merged[key] = widest(a, b)
    return merged
