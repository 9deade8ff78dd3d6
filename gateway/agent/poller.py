"""The poller of one bus: asks its devices when they are due and makes rows of what they say.

Owns the course of each poll on the wire: which error means what, retries, what a failure costs
whom, and handing each row on as soon as it is complete. Runs in the bus thread (`Worker` of
`agent.bus_thread`) and never blocks but in `Bus.transact`. What to ask and when is decided in
`gateway.polling`; what registers mean in `gateway.modbus.values`. A failed poll yields rows of bad
quality with a cause, never silence.

Source: Modbus application protocol V1.1b3 §7 (exception codes).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gateway.agent.bus import Bus
from gateway.agent.discovery import read_next
from gateway.agent.metrics import Sample
from gateway.config.agent import BusSettings, DeviceSettings
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.event import Event, EventKind, Scalar
from gateway.modbus.request import Request, read_request
from gateway.modbus.rtu import timing
from gateway.polling.blocks import Block, Range
from gateway.polling.device import DevicePolling
from gateway.polling.discovering import Discovering
from gateway.polling.health import BUSY_PAUSE_S, BUSY_RETRIES, PROBES_SHARE, Transition
from gateway.polling.poll import Poll
from gateway.polling.rows import take_rows, unasked
from gateway.process.clock import Clock
from gateway.reading import Cause, Row, SchemaBlock

REFUSED = (2, 3)
"""Illegal data address, illegal data value (some devices say so of a read that is too long)."""
BUSY = (5, 6)
"""Acknowledge, server device busy."""
SILENT_BLOCKS = 2
"""Blocks in a row without a reply after which the rest of the poll is left out."""
TURN_S = 0.1
"""A poll that has taken this long lets the other parties of the bus go first."""
PROBE_YIELD_S = 30.0
"""How much longer than others a demoted device waits for its probe: living ones go first, but a bus
that is never idle does not keep a device from being found again."""
MAX_WAIT_S = 0.01
"""A device whose late answer must be waited out for longer than this lets the others go first."""


def _nobody() -> None:
    """Nobody wants to know of a new schema."""


@dataclass(slots=True)
class PollCounters:
    """What the poller counted since it was made; read from other threads.

    `bad`: polls in which something could not be read, by the first cause. `skipped`: due times left
    out because the bus was busy or the poll before was still pending. `busy_s`: bus time used.
    """

    polls: int = 0
    transactions: int = 0
    bad: dict[Cause, int] = field(default_factory=dict)
    skipped: int = 0
    busy_s: float = 0.0
    devices_down: int = 0
    blocks_down: int = 0


class Poller:
    """Polls the devices of one bus.

    `on_rows(bus, rows)` (rows that are complete: one for each schema block and poll) and
    `on_event(event)` are called in the bus thread. `schema_blocks` is this poller's own schema; the
    blocks of its rows are indices into it; `on_schema()` says that blocks were added behind them: a
    device said what points it has.
    """

    def __init__(
        self,
        settings: BusSettings,
        clock: Clock,
        on_rows: Callable[[str, list[Row]], None],
        on_event: Callable[[Event], None],
        on_schema: Callable[[], None] = _nobody,
    ) -> None:
        self.settings = settings
        self.counters = PollCounters()
        self._clock = clock
        self._on_rows = on_rows
        self._on_event = on_event
        self._on_schema = on_schema
        self._lost_since: float | None = None
        self._devices: list[DevicePolling] = []
        self._known = {device.name: device for device in settings.devices}
        self._unknown: list[Discovering] = []
        self._start = clock.now()
        self.schema_blocks: tuple[SchemaBlock, ...] = ()
        for device in settings.devices:
            if device.discover_s is None:
                self._add(device)
            else:
                self._unknown.append(Discovering(device, self._start))

    def _add(self, device: DeviceSettings) -> None:
        """Poll a device; its blocks come behind those there are."""
        wire = timing(self.settings.baud, self.settings.character_s)
        first = len(self.schema_blocks)
        polling = DevicePolling(device, wire.character_s, wire.silence_s, self._start, first)
        self._devices.append(polling)
        self.schema_blocks += tuple(block.schema for block in polling.blocks)

    @property
    def devices(self) -> tuple[DeviceSettings, ...]:
        """Return the devices, with the points that those found by discovery said they have.

        May be read from any thread.
        """
        return tuple(self._known.values())

    # --- called by the bus thread -----------------------------------------------------------------

    def next_due(self, now: float) -> float | None:
        """Return when the next device wants the bus."""
        dues = [device.due for device in self._devices] + [one.due for one in self._unknown]
        return min(dues, default=None)

    def work(self, bus: Bus, now: float) -> None:
        """Poll the device that has waited longest, or go on with its pending poll."""
        due = [device for device in self._devices if device.due <= now]
        for unknown in self._unknown:
            if unknown.due <= min([now, *(device.due for device in due)]):
                self._discover(bus, unknown, now)
                return
        if not due:
            return
        device = min(due, key=lambda one: one.due + PROBE_YIELD_S * one.is_probe_due(now))
        poll = device.pending
        if poll is None:
            skipped = device.schedule.skipped
            groups = device.schedule.take(now)
            self.counters.skipped += device.schedule.skipped - skipped
            if self._lost_since is not None or not device.health.may_ask(now):
                cause = Cause.DEVICE_DOWN if self._lost_since is None else Cause.PORT_LOST
                self._emit(device, unasked(device, groups, cause))
                return
            poll = device.begin(groups, now)
        poll.resume_at = None
        if self._ask(bus, device, poll):
            self._finish(device, poll)

    def port_lost(self, now: float, reason: str) -> None:
        """Say so once; rows keep their intervals with cause PORT_LOST."""
        if self._lost_since is None:
            self._lost_since = now
            self._event(EventKind.PORT_LOST, port=self.settings.port, reason=reason)

    def port_returned(self, now: float) -> None:
        """Ask every device again at its next due time, demoted or not."""
        if self._lost_since is not None:
            lost_s = round(now - self._lost_since, 3)
            self._lost_since = None
            self._event(EventKind.PORT_RETURNED, port=self.settings.port, lost_s=lost_s)
        for device in self._devices:
            device.health.forget(now)

    # --- a device that says itself what it has ----------------------------------------------------

    def _discover(self, bus: Bus, unknown: Discovering, now: float) -> None:
        """Make one read of a walk; poll the device once it is over."""
        failed = read_next(bus, unknown)
        self.counters.busy_s += self._clock.now() - now
        self.counters.transactions += 1
        self._walked(unknown, failed)

    def _walked(self, unknown: Discovering, failed: Cause | None) -> None:
        """Tell once of a device that is not found; take over one that is."""
        name, unit_id, now = unknown.settings.name, unknown.settings.unit_id, self._clock.now()
        if failed is not None and unknown.down_since is None:
            unknown.down_since = now
            self.counters.devices_down += 1
            cause = failed.name.lower()
            self._event(EventKind.DEVICE_DOWN, device=name, unit_id=unit_id, cause=cause)
        if unknown.found is None:
            return
        self._unknown.remove(unknown)
        self._known[name] = unknown.found
        self._add(unknown.found)
        self._on_schema()
        if unknown.down_since is not None:
            self.counters.devices_down -= 1
            down_s = round(now - unknown.down_since, 3)
            self._event(EventKind.DEVICE_UP, device=name, unit_id=unit_id, down_s=down_s)

    # --- one poll ---------------------------------------------------------------------------------

    def _ask(self, bus: Bus, device: DevicePolling, poll: Poll) -> bool:
        """Make the transactions of a poll; return whether it is over (else it is pending)."""
        turn_began = now = self._clock.now()
        while (block := poll.current) is not None:
            if now >= turn_began + TURN_S:
                poll.resume_at = now
                return False
            request = read_request(device.settings.unit_id, block.table, block.address, block.count)
            clear_at = bus.clear_at(request)
            if clear_at > now + MAX_WAIT_S:
                poll.resume_at = clear_at
                return False
            self._transact(bus, device, poll, block, request)
            now = self._clock.now()
            if poll.resume_at is not None:
                return False
            self._emit(device, poll)
        return True

    def _transact(
        self, bus: Bus, device: DevicePolling, poll: Poll, block: Block, request: Request
    ) -> None:
        """Read one block; how it went is told to `poll`."""
        began = self._clock.now()
        silent = False
        try:
            reply = bus.transact(request, _timeout_s(device, poll, block))
        except PortLostError:
            poll.give_up_all(Cause.PORT_LOST)
        except NoReplyError:
            silent = True
            self._unanswered(device, poll, block)
        except BadFrameError:
            self._garbled(device, poll)
        except DeviceExceptionError as error:
            self._refused(device, poll, error.code)
        else:
            device.health.replied(block.range, reply.turnaround_s)
            poll.given(reply.bits if block.table.is_bits else reply.registers, reply.source_time_ns)
            self._note(device, device.health.answered(self._clock.now()))
        spent_s = self._clock.now() - began
        poll.bus_s += spent_s
        poll.silent_s += spent_s if silent else 0.0
        self.counters.busy_s += spent_s
        self.counters.transactions += 1

    def _unanswered(self, device: DevicePolling, poll: Poll, block: Block) -> None:
        health = device.health
        if poll.attempt < health.retries and not poll.searching:
            poll.attempt += 1
            return
        if poll.unanswered(search=device.silent.is_mute(block, poll)):
            return
        if poll.silent >= SILENT_BLOCKS or health.demoted or not health.ever_answered:
            poll.give_up_all(Cause.NO_REPLY)

    def _garbled(self, device: DevicePolling, poll: Poll) -> None:
        if poll.attempt < device.health.retries:
            poll.attempt += 1
            return
        poll.garbled = True
        poll.silent = 0
        poll.give_up(Cause.BAD_FRAME)
        if device.health.demoted:
            poll.give_up_all(Cause.BAD_FRAME)

    def _refused(self, device: DevicePolling, poll: Poll, code: int) -> None:
        now = self._clock.now()
        poll.silent = 0
        poll.answered = True
        self._note(device, device.health.answered(now))
        if code in REFUSED:
            poll.refused()
        elif code not in BUSY:
            poll.give_up(Cause.EXCEPTION)
        elif poll.busy < BUSY_RETRIES:
            poll.resume_at = now + BUSY_PAUSE_S * 2**poll.busy
            poll.busy += 1
        else:
            poll.give_up(Cause.BUSY)

    def _finish(self, device: DevicePolling, poll: Poll) -> None:
        now = self._clock.now()
        device.pending = None
        self.counters.polls += 1
        lost = Cause.PORT_LOST in poll.causes.values()
        if poll.causes:
            first = next(iter(poll.causes.values()))
            self.counters.bad[first] = self.counters.bad.get(first, 0) + 1
        if not poll.answered and not lost:
            silent = not poll.garbled
            share = PROBES_SHARE / max(1, self.counters.devices_down)
            down = device.health.failed(now, poll.bus_s, silent=silent, share=share)
            self._note(device, down, silent)
        refused, found = device.learn(poll, now)
        self._blocks_event(EventKind.BLOCK_SPLIT, device, refused)
        self._blocks_event(EventKind.BLOCK_DOWN, device, found.down)
        self._blocks_event(EventKind.BLOCK_UP, device, found.up)
        self.counters.blocks_down = sum(len(one.silent.ranges) for one in self._devices)
        self._emit(device, poll)

    # --- what comes of it -------------------------------------------------------------------------

    def _emit(self, device: DevicePolling, poll: Poll) -> None:
        """Hand on the rows that are complete."""
        rows = take_rows(device, poll, self._clock.boottime_ns())
        if rows:
            self._on_rows(self.settings.name, rows)

    def _blocks_event(
        self, kind: EventKind, device: DevicePolling, ranges: Iterable[Range]
    ) -> None:
        name = device.settings.name
        for table, low, high in ranges:
            self._event(kind, device=name, table=table.name.lower(), first=low, last=high)

    def _note(
        self, device: DevicePolling, transition: Transition | None, silent: bool = False
    ) -> None:
        if transition is None:
            return
        self.counters.devices_down += 1 if transition.down else -1
        name, unit_id = device.settings.name, device.settings.unit_id
        if transition.down:
            cause = (Cause.NO_REPLY if silent else Cause.BAD_FRAME).name.lower()
            self._event(EventKind.DEVICE_DOWN, device=name, unit_id=unit_id, cause=cause)
        else:
            down_s = round(transition.down_s, 3)
            self._event(EventKind.DEVICE_UP, device=name, unit_id=unit_id, down_s=down_s)

    def _event(self, kind: EventKind, **fields: Scalar) -> None:
        at = self._clock.boottime_ns()
        self._on_event(Event.make(kind, at, bus=self.settings.name, **fields))

    def samples(self) -> Iterator[Sample]:
        """Yield this bus's metrics; called when Prometheus asks, from any thread."""
        bus = (("bus", self.settings.name),)
        counters = self.counters

        def sample(name: str, text: str, value: float, counter: bool = True) -> Sample:
            return Sample(f"gateway_{name}", text, value, counter, bus)

        yield sample("polls", "Polls made: one asking of one device", counters.polls)
        yield sample("polls_skipped", "Due times left out: the bus was busy", counters.skipped)
        yield sample("bus_transactions", "Requests sent", counters.transactions)
        yield sample("bus_busy_seconds", "Seconds the bus was in use", counters.busy_s)
        yield sample("devices_down", "Devices only probed now", counters.devices_down, False)
        yield sample("blocks_down", "Silent blocks only probed now", counters.blocks_down, False)
        for cause, count in tuple(counters.bad.items()):
            labels = (*bus, ("cause", cause.name.lower()))
            text = "Polls in which something could not be read, by the first cause"
            yield Sample("gateway_polls_bad", text, count, True, labels)
        for device in self._devices:
            learnt = device.health.turnaround_s
            if learnt is not None:
                labels = (*bus, ("device", device.settings.name))
                text = "Median turnaround of a device lately"
                yield Sample("gateway_device_turnaround_seconds", text, learnt, False, labels)


def _timeout_s(device: DevicePolling, poll: Poll, block: Block) -> float:
    """Return how long to wait for `block`: longer in a search, for it may only be slow."""
    if not poll.searching:
        return device.health.timeout_s(block.range, poll.attempt)
    if block is poll.probed:
        return device.health.patient_timeout_s(block.range)
    return device.health.timeout_s(block.range, 1)
