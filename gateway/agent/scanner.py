"""Looking for devices on a port: ask every unit id at every setting, name what answers.

Owns the port while it looks, and the course of the search: usual unit ids at each setting, all of
them where somebody answered (a bus has one setting), all settings in full when nobody did. What it
finds comes out of an iterator as it is found, so that an interruption keeps it. The order is
`gateway.modbus.search`'s, the naming `gateway.modbus.identify`'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.agent.bus import Bus
from gateway.config.agent import BusSettings
from gateway.errors import BadFrameError, BusError, PortLostError
from gateway.modbus.identify import (
    Answer,
    Candidate,
    Certainty,
    Identity,
    answered,
    frames_in,
    identification,
    identification_request,
    identify,
    presence_request,
)
from gateway.modbus.point import Table
from gateway.modbus.request import Request, read_request
from gateway.modbus.search import Settings, question_s
from gateway.modbus.sunspec import Discovery, identity_of, points_of
from gateway.modbus.values import decode
from gateway.process.clock import Clock

IDENTIFY_TIMEOUT_S = 0.2
USUAL_BAUD = 9600
"""What devices ship with, at least: once one was found, nobody is looked for below it."""
MAX_OBJECT_ROUNDS = 4
"""Requests for one device's identification: basic objects fit two frames."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. `quick`: unit ids tried at every setting, `rest`: the others."""

    settings: tuple[Settings, ...]
    quick: tuple[int, ...]
    rest: tuple[int, ...]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Trying:
    """A sweep over `unit_ids` goes on: `left_s` is the estimate for all that is planned now."""

    settings: Settings
    unit_id: int
    unit_ids: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """The port does not take a setting."""

    settings: Settings
    reason: str


@dataclass(frozen=True, slots=True)
class Garbled:
    """Something answered that is no frame."""

    settings: Settings
    unit_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A device. `after_s`: since the scan began."""

    settings: Settings
    unit_id: int
    identity: Identity
    after_s: float


Step = Trying | Skipped | Garbled | Found


class Scanner:
    """One scan of one port."""

    def __init__(
        self, port: str, wanted: Wanted, candidates: Sequence[Candidate], clock: Clock
    ) -> None:
        self._port = port
        self._wanted = wanted
        self._candidates = candidates
        self._clock = clock
        self._started = clock.now()
        self._left_s = 0.0
        self._refused: set[str] = set()
        """Parities that the port does not take."""
        self._opened = False

    def run(self) -> Iterator[Step]:
        """Look, and yield what comes of it. Raises: PortLostError when the port cannot be used."""
        wanted = self._wanted
        anybody = False
        self._plan(wanted.settings, len(wanted.quick))
        for settings in wanted.settings:
            if anybody and settings.baud < USUAL_BAUD:
                self._left_s -= self._cost(settings) * len(wanted.quick)
                continue  # slow to ask, and hardly ever beside a faster one
            sweep = _Sweep(settings, wanted.quick, Table.INPUT)
            yield from self._sweep(sweep)
            if sweep.found and wanted.rest:
                self._left_s += self._cost(settings) * len(wanted.rest)
                yield from self._sweep(_Sweep(settings, wanted.rest, Table.INPUT))
            anybody = anybody or bool(sweep.found)
        if anybody:
            return
        # Nobody yet: all unit ids at every setting, and the other question for the usual ones.
        self._plan(wanted.settings, len(wanted.rest) + len(wanted.quick))
        for settings in wanted.settings:
            for units, table in ((wanted.quick, Table.HOLDING), (wanted.rest, Table.INPUT)):
                sweep = _Sweep(settings, units, table)
                yield from self._sweep(sweep)
                anybody = anybody or bool(sweep.found)
            if anybody:
                return

    def _plan(self, settings: Sequence[Settings], unit_ids: int) -> None:
        """Estimate sweeps of so many unit ids at each of `settings`."""
        usable = [one for one in settings if one.parity not in self._refused]
        self._left_s = sum(self._cost(one) * unit_ids for one in usable)

    def _cost(self, settings: Settings) -> float:
        return question_s(settings, self._wanted.timeout_s)

    def _sweep(self, sweep: "_Sweep") -> Iterator[Step]:
        """Ask unit ids at one setting."""
        settings = sweep.settings
        if settings.parity in self._refused or not sweep.unit_ids:
            return
        bus = self._bus(settings)
        self._left_s -= self._cost(settings) * len(sweep.unit_ids)
        try:
            bus.open()
        except PortLostError as error:
            if not self._opened:
                self._must_open(settings)
            yield self._refuse(settings, str(error.__cause__ or error))
            return
        self._opened = True
        try:
            if settings.parity != "none" and not bus.has_parity:
                yield self._refuse(settings, "the port does not set it (a pty has no parity)")
            else:
                yield from self._ask_all(bus, sweep)
        finally:
            bus.close()

    def _bus(self, settings: Settings) -> Bus:
        port = BusSettings("scan", self._port, settings.baud, settings.parity, settings.stop_bits)
        return Bus(port, self._clock)

    def _must_open(self, settings: Settings) -> None:
        """Tell a port that refuses a parity from one that cannot be used: the latter raises."""
        plain = self._bus(Settings(settings.baud, "none"))
        plain.open()
        plain.close()
        self._opened = True

    def _refuse(self, settings: Settings, reason: str) -> Skipped:
        """Leave a setting out; a parity refused once is refused at every baud."""
        if settings.parity == "none":
            return Skipped(settings, reason)
        self._refused.add(settings.parity)
        refused = [one for one in self._wanted.settings if one.parity == settings.parity]
        self._left_s -= sum(self._cost(one) * len(self._wanted.quick) for one in refused)
        return Skipped(settings, f"parity {settings.parity} is refused at any baud: {reason}")

    def _ask_all(self, bus: Bus, sweep: "_Sweep") -> Iterator[Step]:
        count = len(sweep.unit_ids)
        for number, unit_id in enumerate(sweep.unit_ids):
            if unit_id in sweep.found:
                continue
            left_s = max(0.0, self._left_s) + self._cost(sweep.settings) * (count - number)
            yield Trying(sweep.settings, unit_id, count, left_s)
            sweep.asked.add(unit_id)
            request = presence_request(unit_id, sweep.table)
            data = self._ask(bus, request)
            frames = frames_in(data, request.frame)
            if data and not frames:
                yield Garbled(sweep.settings, unit_id, data)
            for present in dict.fromkeys(frame[0] for frame in frames):
                # A late answer of a unit asked before counts as well.
                if present in sweep.asked and present not in sweep.found:
                    sweep.found.add(present)
                    identity = self._identify(bus, present)
                    yield Found(
                        sweep.settings, present, identity, self._clock.now() - self._started
                    )

    def _ask(self, bus: Bus, request: Request) -> bytes:
        try:
            return bus.listen(request.frame, self._wanted.timeout_s, answered(request.frame))
        except BadFrameError:  # never silent: another client on the bus, or noise
            return b""

    def _identify(self, bus: Bus, unit_id: int) -> Identity:
        said = self._identification(bus, unit_id)
        identity = self._named(bus, unit_id, said)
        if identity.certainty is Certainty.CERTAIN:
            return identity
        return self._sunspec(bus, unit_id, said) or identity

    def _named(self, bus: Bus, unit_id: int, said: tuple[str, ...]) -> Identity:
        """Find the profile that fits."""
        search = identify(unit_id, self._candidates, said)
        try:
            request = next(search)
            while True:
                request = search.send(self._read(bus, request))
        except StopIteration as done:
            identity: Identity = done.value
            return identity

    def _sunspec(self, bus: Bus, unit_id: int, said: tuple[str, ...]) -> Identity | None:
        """Let a SunSpec device describe itself; ``None`` for any other, or with no model known."""
        walk = Discovery()
        while walk.wanted is not None:
            wanted = walk.wanted
            got = self._read(
                bus, read_request(unit_id, Table.HOLDING, wanted.address, wanted.count)
            )
            if got is None:
                walk.refused()
            else:
                walk.given(got)
        chain = walk.chain
        points = () if chain is None else points_of(chain)
        if chain is None or not points:
            return None
        words = []
        for spec in identity_of(chain):
            if spec.name in ("manufacturer", "model"):
                request = read_request(unit_id, spec.table, spec.address, spec.registers)
                got = self._read(bus, request)
                words.append("" if got is None else str(decode(spec, got)[0]))
        models = ", ".join(str(model.id) for model in chain.models)
        evidence = (f"SunSpec at {chain.base}, models {models}",)
        spoken = tuple(word for word in words if word) or said
        return Identity(None, Certainty.CERTAIN, spoken, evidence, (), points)

    def _identification(self, bus: Bus, unit_id: int) -> tuple[str, ...]:
        """Ask with function 43/14; most devices refuse."""
        objects: dict[int, str] = {}
        more: int | None = 0
        for _ in range(MAX_OBJECT_ROUNDS):
            if more is None:
                break
            request = identification_request(unit_id, more)
            try:
                data = bus.listen(request, IDENTIFY_TIMEOUT_S, answered(request))
            except BadFrameError:
                break
            got, more = identification(data, request)
            objects.update(got)
        return tuple(text for _, text in sorted(objects.items()) if text)

    def _read(self, bus: Bus, request: Request) -> Answer:
        try:
            return bus.transact(request, IDENTIFY_TIMEOUT_S).registers
        except PortLostError:
            raise
        except BusError:
            return None


class _Sweep:
    """Unit ids asked at one setting: `found` and `asked` fill while it goes on."""

    def __init__(self, settings: Settings, unit_ids: Sequence[int], table: Table) -> None:
        self.settings = settings
        self.unit_ids = unit_ids
        self.table = table
        self.asked: set[int] = set()
        self.found: set[int] = set()
