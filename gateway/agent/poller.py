"""The poller of one bus: asks its devices when they are due and makes rows of what they say.

Owns the course of each poll on the wire: which error means what, retries, what a failure costs
whom. Runs in the bus thread (`Worker` of `agent.bus`) and never blocks but in `Bus.transact`. What
to ask and when is decided in `gateway.polling`; what registers mean in `gateway.modbus.values`.
A failed poll yields rows of bad quality with a cause, never silence.

Source: Modbus application protocol V1.1b3 §7 (exception codes).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.agent.bus import Bus
from gateway.agent.metrics import Sample
from gateway.config.agent import BusSettings
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.event import Event, EventKind, Scalar
from gateway.modbus.request import Reply, Request, read_request
from gateway.polling.device import DevicePolling
from gateway.polling.health import BUSY_PAUSE_S, BUSY_RETRIES, Transition
from gateway.polling.load import silence_s
from gateway.polling.poll import Poll
from gateway.polling.rows import rows_of, unasked
from gateway.process.clock import Clock
from gateway.reading import Cause, Row, SchemaBlock

REFUSED = (2, 3)
"""Illegal data address, illegal data value (some devices say so of a read that is too long)."""
BUSY = (5, 6)
"""Acknowledge, server device busy."""
SILENT_BLOCKS = 2
"""Blocks in a row without a reply after which the rest of the poll is left out."""
MAX_TRANSACTIONS = 16
"""Transactions before other parties of the bus get their turn."""

MAX_WAIT_S = 0.01
"""A device whose late answer must be waited out for longer than this lets the others go first."""


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


class Poller:
    """Polls the devices of one bus.

    `on_rows(bus, rows)` (a row for each schema block polled) and `on_event(event)` are called in
    the bus thread. `schema_blocks` is this poller's own schema; the blocks of its rows are indices
    into it.
    """

    def __init__(
        self,
        settings: BusSettings,
        clock: Clock,
        on_rows: Callable[[str, list[Row]], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.settings = settings
        self.counters = PollCounters()
        self._clock = clock
        self._on_rows = on_rows
        self._on_event = on_event
        self._lost_since: float | None = None
        self._devices: list[DevicePolling] = []
        blocks: list[SchemaBlock] = []
        start = clock.now()
        for device in settings.devices:
            polling = DevicePolling(
                device, settings.character_s, silence_s(settings), start, len(blocks)
            )
            self._devices.append(polling)
            blocks.extend(block.schema for block in polling.blocks)
        self.schema_blocks = tuple(blocks)

    # --- called by the bus thread -----------------------------------------------------------------

    def next_due(self, now: float) -> float | None:
        """Return when the next device wants the bus."""
        return min((device.due for device in self._devices), default=None)

    def work(self, bus: Bus, now: float) -> None:
        """Poll the device that has waited longest, or go on with its pending poll."""
        device = min(self._devices, key=lambda one: one.due)
        if device.due > now:
            return
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

    # --- one poll ---------------------------------------------------------------------------------

    def _ask(self, bus: Bus, device: DevicePolling, poll: Poll) -> bool:
        """Make the transactions of a poll; return whether it is over (else it is pending)."""
        for _ in range(MAX_TRANSACTIONS):
            block = poll.current
            if block is None:
                return True
            request = read_request(device.settings.unit_id, block.table, block.address, block.count)
            began = self._clock.now()
            clear_at = bus.clear_at(request)
            if clear_at > began + MAX_WAIT_S:
                poll.resume_at = clear_at
                return False
            reply = self._transact(bus, device, poll, request)
            now = self._clock.now()
            poll.bus_s += now - began
            self.counters.busy_s += now - began
            self.counters.transactions += 1
            if reply is not None:
                poll.silent = 0
                poll.answered = True
                poll.given(
                    reply.bits if block.table.is_bits else reply.registers, reply.source_time_ns
                )
                self._note(device, device.health.answered(reply.turnaround_s, now))
            if poll.resume_at is not None:
                return False
        poll.resume_at = self._clock.now()
        return poll.current is None

    def _transact(
        self, bus: Bus, device: DevicePolling, poll: Poll, request: Request
    ) -> Reply | None:
        """Read one block; what goes wrong is told to `poll`."""
        health = device.health
        try:
            return bus.transact(request, health.timeout_s(poll.attempt))
        except PortLostError:
            poll.give_up_all(Cause.PORT_LOST)
        except NoReplyError:
            if poll.attempt < health.retries:
                poll.attempt += 1
                return None
            device.note_silent(poll.current)
            poll.silent += 1
            poll.give_up(Cause.NO_REPLY)
            if poll.silent >= SILENT_BLOCKS or health.demoted or not health.ever_answered:
                poll.give_up_all(Cause.NO_REPLY)
        except BadFrameError:
            if poll.attempt < health.retries:
                poll.attempt += 1
                return None
            poll.garbled = True
            poll.give_up(Cause.BAD_FRAME)
            if health.demoted:
                poll.give_up_all(Cause.BAD_FRAME)
        except DeviceExceptionError as error:
            self._refused(device, poll, error.code)
        return None

    def _refused(self, device: DevicePolling, poll: Poll, code: int) -> None:
        now = self._clock.now()
        poll.silent = 0
        poll.answered = True
        self._note(device, device.health.answered(None, now))
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
            self._note(device, device.health.failed(now, poll.bus_s, silent=silent), silent)
        for table, low, high in device.learn(poll, now):
            self._event(
                EventKind.BLOCK_SPLIT,
                device=device.settings.name,
                table=table.name.lower(),
                first=low,
                last=high,
            )
        self._emit(device, poll)

    # --- what comes of it -------------------------------------------------------------------------

    def _emit(self, device: DevicePolling, poll: Poll) -> None:
        """Hand on one row for each schema block of the poll's groups."""
        rows = rows_of(device, poll, self._clock.boottime_ns())
        self._on_rows(self.settings.name, rows)

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
