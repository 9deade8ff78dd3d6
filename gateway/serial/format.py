"""What a serial format is: the small interface that every format, ours or a plug-in, implements.

Owns `Format`, the options a format declares, and `TextFormat`, the way from a stream to the text of
a line that most formats share. Never knows which fields a site wants: see `source`.
`docs/serial.md` shows a complete format of a third party.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gateway.serial.checks import Check, CheckedText
from gateway.serial.framing import Fields, Framer, Framing
from gateway.serial.line import Fault, FaultKind, Line

OptionValue = str | int | float | bool | tuple[str, ...]

MAX_TEXT_LINE = 1024
"""The most that `max_length` of a text format may be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a format's ``[serial.options]`` table.

    The default's type is the option's: text, whole number, number, true or false, list of texts.
    `low` and `high` bound a number, or a list's length; `choices` are the texts allowed. `control`:
    the text may hold control characters, such as ``\\r`` or ``\\u0002``, and each of its characters
    is one byte.
    """

    name: str
    default: OptionValue
    text: str
    required: bool = False
    low: float = 0
    high: float = 1e9
    choices: tuple[str, ...] = ()
    control: bool = False


class OptionError(ValueError):
    """An option (`name`) that cannot be used with the others: what was `found`, and its `cure`."""

    def __init__(self, name: str, found: str, cure: str) -> None:
        super().__init__(f"{name}: {found}; {cure}")
        self.name, self.found, self.cure = name, found, cure


@dataclass(frozen=True, slots=True)
class Options:
    """A format's options as given, checked against what it declares; absent ones by default."""

    values: tuple[tuple[str, OptionValue], ...] = ()

    @classmethod
    def of(cls, declared: Iterable[Option], given: dict[str, OptionValue]) -> "Options":
        """Complete what was given."""
        return cls(tuple((one.name, given.get(one.name, one.default)) for one in declared))

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._get(name)
        assert isinstance(value, str)
        return value

    def raw(self, name: str) -> bytes:
        """Return the bytes of a text that may hold control characters."""
        return self.text(name).encode("latin-1")

    def whole(self, name: str) -> int:
        """Return a whole number."""
        value = self._get(name)
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._get(name)
        assert isinstance(value, int | float)
        return float(value)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        return bool(self._get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._get(name)
        assert isinstance(value, tuple)
        return value

    def _get(self, name: str) -> OptionValue:
        return dict(self.values)[name]


class Format(Protocol):
    """A line protocol. One object serves one source; it is not thread-safe and reads no clock.

    `OPTIONS`: what its ``[serial.options]`` may hold. The constructor raises `OptionError` for what
    no single option shows, and is called by the config check too: it must be quick.
    `FIELDS`: the fields it can give, for the config check; empty if the config names them.
    """

    OPTIONS: ClassVar[tuple[Option, ...]]
    FIELDS: ClassVar[tuple[str, ...]]

    def __init__(self, options: Options) -> None: ...

    def group(self, field: str) -> str | None:
        """Return a word for the fields that come in one line with `field`: readings of one group
        share a source time. ``None``: there is no such field."""

    def feed(self, data: bytes, now: float) -> list[Line | Fault]:
        """Take bytes that are here (``b""``: nothing is, up to `now`) and return what they gave.

        Any bytes, however split, must end in lines and faults, in bounded memory.
        """

    def timer_at(self) -> float | None:
        """Return when ``feed(b"", now)`` is wanted, ``None``: never."""

    def reset(self, now: float, in_step: bool) -> None:
        """Forget what is in hand. `in_step`: the next byte begins a line (a question goes out);
        else the port was opened, perhaps in the middle of one."""

    @property
    def in_hand(self) -> bool:
        """Tell whether a line has begun and not ended."""


class LineFormat:
    """A format whose lines the common engine cuts: a subclass says how, and what one means."""

    OPTIONS: ClassVar[tuple[Option, ...]] = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Options) -> None:
        self.framer = Framer(self.framing(options), self.read)

    def framing(self, options: Options) -> Framing:
        """Return how lines are told apart. Raises: OptionError."""
        raise NotImplementedError

    def read(self, frame: bytes) -> Fields | FaultKind:
        """Return the fields of one line (its delimiters included), or what is wrong with it."""
        raise NotImplementedError

    def group(self, field: str) -> str | None:
        """Put all known fields into one group."""
        return "" if field in self.FIELDS else None

    def feed(self, data: bytes, now: float) -> list[Line | Fault]:
        return self.framer.feed(data, now)

    def timer_at(self) -> float | None:
        return self.framer.timer_at()

    def reset(self, now: float, in_step: bool) -> None:
        self.framer.reset(now, in_step)

    @property
    def in_hand(self) -> bool:
        return self.framer.in_hand


FRAMING = (
    Option("start", "", "what a line begins with; empty: where the one before ended", control=True),
    Option(
        "end", "\n", 'what a line ends with, often "\\r" or "\\n"; empty: silence', control=True
    ),
    Option("max_length", 256, "longest line in bytes", low=4, high=MAX_TEXT_LINE),
    Option("idle_gap_s", 1.0, "silence that ends a line, or spoils half a one", low=0.005, high=60),
)
"""Options of every format whose delimiters a site may choose."""
CHECK = (
    Option("check", "none", "the check sum behind a line", choices=tuple(Check)),
    Option("check_mark", "", "what stands between the text and the check sum", control=True),
    Option("check_whole", False, "the sum covers start delimiter and mark too"),
)
"""Options of every format that may have a check sum."""


def framing_of(options: Options) -> Framing:
    """Return the framing that the options of `FRAMING` ask for. Raises: OptionError."""
    start, end, most = options.raw("start"), options.raw("end"), options.whole("max_length")
    if len(start) + len(end) >= most:
        cure = f"more than start and end together ({len(start) + len(end)} bytes)"
        raise OptionError("max_length", f"found {most}", cure)
    if start and start == end:
        raise OptionError("start", "it is the same as end", "leave start out")
    return Framing(start, end, max_length=most, idle_gap_s=options.number("idle_gap_s"))


class TextFormat(LineFormat):
    """A format of printable lines with delimiters and check sum as the site chooses."""

    OPTIONS: ClassVar[tuple[Option, ...]] = FRAMING + CHECK

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._end = options.raw("end")
        self._checked = CheckedText(
            Check(options.text("check")),
            options.raw("start"),
            options.raw("check_mark"),
            options.flag("check_whole"),
        )
        if self._checked.check is Check.NONE and self._checked.mark:
            raise OptionError("check_mark", "given without a check sum", 'add check = "xor8"')

    def framing(self, options: Options) -> Framing:
        return framing_of(options)

    def read(self, frame: bytes) -> Fields | FaultKind:
        data = self._checked.text(frame.removesuffix(self._end).strip(b"\r\n"))
        if data is None:
            return FaultKind.CHECKSUM
        text = printable(data)
        fields = None if text is None else self.fields(text)
        return FaultKind.FORMAT if fields is None else fields

    def fields(self, text: str) -> Fields | None:
        """Return the fields of a line's text; ``None``: it is no such line."""
        raise NotImplementedError


def printable(data: bytes) -> str | None:
    """Return the text of a line (Latin-1, of which ASCII is a part), ``None`` if it is noise."""
    text = data.decode("latin-1")
    return text if text.replace("\t", " ").isprintable() else None
