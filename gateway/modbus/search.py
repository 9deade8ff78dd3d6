"""In which order to look for devices nobody knows: serial settings, unit ids, and what it costs.

Owns the order that finds a usual device soonest and the estimate of the time. Never sends anything.

Source: Modbus over serial line V1.02 §2.5.1 (19200 8E1 is the standard's default; 9600 8N1 is what
makers ship), `config/profiles` (`[serial]` of each profile).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.modbus.rtu import timing

BAUDS = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 1200)
PARITIES = ("none", "even", "odd")
USUAL_UNIT_IDS = (*range(1, 11), 100, 247)
ALL_UNIT_IDS = range(1, 248)
PRESENCE_CHARACTERS = 8
TURNAROUND_S = 0.06
"""How long a device may think before its answer begins; nearly all need less than 50 ms, and an
answer that comes later is still taken for its unit id."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a port is set while devices are looked for."""

    baud: int
    parity: str
    stop_bits: int = 1

    @property
    def character_s(self) -> float:
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity[0].upper()}{self.stop_bits}"


def settings_order(
    bauds: Sequence[int], parities: Sequence[str], usual: Iterable[Settings] = ()
) -> tuple[Settings, ...]:
    """Return the settings to try, the likeliest first.

    `usual`: how known devices leave the factory; those among the bauds and parities wanted come
    first, the commoner the earlier. A second stop bit needs no try of its own: who sends two is
    read with one, and who expects two takes one.
    """
    wanted = [Settings(baud, parity) for parity in parities for baud in bauds]
    counts: dict[Settings, int] = {}
    for one in usual:
        plain = Settings(one.baud, one.parity)
        counts[plain] = counts.get(plain, 0) + 1
    first = (Settings(9600, "none"), Settings(19200, "even"))
    ranked = [one for one in first if one in wanted]
    ranked += sorted((one for one in counts if one in wanted), key=lambda one: -counts[one])
    return tuple(dict.fromkeys([*ranked, *_by_parity(wanted, parities)]))


def _by_parity(wanted: list[Settings], parities: Sequence[str]) -> list[Settings]:
    """Interleave: a baud's parities follow each other, odd (hardly used) comes last of all."""
    usual = [one for one in wanted if one.parity != "odd"]
    usual.sort(key=lambda one: (_rank(one.baud), parities.index(one.parity)))
    odd = [one for one in wanted if one.parity == "odd"]
    return usual + sorted(odd, key=lambda one: _rank(one.baud))


def _rank(baud: int) -> int:
    return BAUDS.index(baud) if baud in BAUDS else len(BAUDS)


def unit_ids_order(
    unit_ids: Sequence[int], usual: Iterable[int] = ()
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the unit ids tried at every setting, and the rest."""
    known = (*USUAL_UNIT_IDS, *usual)
    quick = tuple(unit for unit in dict.fromkeys(known) if unit in unit_ids)
    if len(unit_ids) <= len(known):
        return tuple(unit_ids), ()
    return quick, tuple(unit for unit in unit_ids if unit not in quick)


def question_s(settings: Settings, timeout_s: float) -> float:
    """Return what a unit id that nobody has costs."""
    wire = timing(settings.baud, settings.character_s)
    return PRESENCE_CHARACTERS * settings.character_s + timeout_s + wire.silence_s
