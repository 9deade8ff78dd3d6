"""A world of agents, cards, a link and a centre around the real `Sender` and `Receiver`.

Owns the models that the protocol's promises are tested with: a spool (RAM and a card that can be
cut, imaged, restored and cloned), a store (a batch in memory, a COMMIT, crashes), a driver for each
side, and a book-keeper that knows every record ever made. A promise that is broken raises `Broken`.

`Design` holds the decisions; a mutant overrides one of them (`mutants.py`).
"""

import random
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.event import Event, EventKind
from gateway.reading import Row, Schema, SchemaBlock, SchemaPoint
from gateway.wire import ledger, record, rows
from gateway.wire.message import (
    Backlog,
    ClockReading,
    ClockSource,
    EpochHave,
    EpochState,
    Gap,
    GapReason,
    Heartbeat,
    Hello,
    Interval,
    Lane,
)
from gateway.wire.receiver import (
    ByeReceived,
    HelloReceived,
    Receiver,
    ReceiverLimits,
    ReceiverState,
    RecordsReceived,
)
from gateway.wire.record import Record, RecordKind
from gateway.wire.schemas import SchemaTable
from gateway.wire.sender import (
    Acked,
    HeartbeatDue,
    Opened,
    Refused,
    Sender,
    SenderState,
)
from tests.fakes import LossyLink

GATEWAY = "site-042"
SCHEMA = rows.encode_schema(
    Schema((SchemaBlock("meter", 1.0, (SchemaPoint("count", "", "i64"),)),))
)
CLOCK = ClockReading(1, 2, ClockSource.NONE, -1)
Key = tuple[int, int]


class Broken(AssertionError):
    """A promise of the protocol was broken."""


@dataclass
class Card:
    """What a card holds: per epoch the records written, which of them were flushed, and END."""

    written: dict[int, dict[int, Record]] = field(default_factory=dict)
    flushed: set[Key] = field(default_factory=set)

    def write(self, epoch: int, item: Record) -> None:
        self.written.setdefault(epoch, {})[item.seq] = item

    def flush(self) -> None:
        self.flushed = self.keys()

    def keys(self) -> set[Key]:
        return {(epoch, seq) for epoch, items in self.written.items() for seq in items}

    def cut_power(self, rng: random.Random) -> None:
        """Lose about half of what was written and not flushed."""
        for epoch, items in self.written.items():
            for seq in list(items):
                if (epoch, seq) not in self.flushed and rng.random() < 0.5:
                    del items[seq]
        self.flush()

    def forget(self, epoch: int, seq: int) -> None:
        self.written.get(epoch, {}).pop(seq, None)


class Design:
    """The decisions a mutant may get wrong."""

    sender: type[Sender] = Sender
    cumulative_ack = False
    ack_on_receipt = False
    delete_on_send = False
    have_is_acked = True
    lists_old_epochs = True
    announces_each_session = True
    acks_name_their_epoch = True
    commits_have_with_data = True
    rekeys_old_records = False
    reuses_epoch = False
    sees_lost_tails = True

    def store_key(self, epoch: int, seq: int) -> Key:
        return (epoch, seq)


class Agent:
    """One gateway: a card, RAM, and at most one session."""

    def __init__(self, world: "World", card: Card, instance: bytes) -> None:
        self.world = world
        self.card = card
        self.instance = instance
        self.running = False
        self.epoch = 0
        self.next_seq = 1
        self.unacked: dict[int, dict[int, Record]] = {}
        self.next_seqs: dict[int, int] = {}
        self.sender: Sender | None = None
        self.sent: set[Key] = set()
        self.told_announced = False

    # --- the spool ---------------------------------------------------------------------------

    def boot(self) -> None:
        world = self.world
        self.running = True
        self.unacked = {e: dict(items) for e, items in self.card.written.items() if items}
        self.next_seqs = {e: max(items) + 1 for e, items in self.unacked.items()}
        if world.design.reuses_epoch and self.unacked:
            self.epoch = max(self.unacked, key=lambda e: len(self.unacked[e]))
            self.next_seq = self.next_seqs[self.epoch]
        else:
            self.epoch = world.rng.getrandbits(64)
            self.next_seq = 1
        if world.design.rekeys_old_records:
            old, self.unacked = self.unacked, {}
            for epoch, items in old.items():
                for item in items.values():
                    self.card.forget(epoch, item.seq)
                    self.append(item.kind, bytes(item.payload), world.uid_of(epoch, item.seq))
        self.told_announced = False

    def append(self, kind: int, payload: bytes, uid: int | None = None) -> Record:
        item = record.pack(record.epoch_seed(self.epoch), self.next_seq, kind, 1, payload)
        self.unacked.setdefault(self.epoch, {})[item.seq] = item
        self.world.made(self.epoch, item.seq, uid)
        self.next_seq += 1
        return item

    def make(self, event: bool) -> None:
        """Make one record and send it live if there is credit."""
        if not self.running:
            return
        if event:
            payload = rows.pack_event(Event.make(EventKind.DEVICE_UP, self.next_seq * 100_000))
            item = self.append(RecordKind.EVENT, payload)
        else:
            row = Row(0, self.next_seq * 100_000, (self.world.next_uid,))
            payload = rows.pack_rows(1, [row], rows.decode_schema(SCHEMA))
            item = self.append(RecordKind.ROWS, payload)
        if self.sender is not None and self.sender.credit(Lane.LIVE) > 0:
            self._offer(self.epoch, [item], Lane.LIVE)

    def commit(self, flush: bool) -> None:
        """Write what is unacked to the card; flush unless the power may still take it."""
        for seq, item in self.unacked.get(self.epoch, {}).items():
            self.card.write(self.epoch, item)
            del seq
        if flush:
            self.card.flush()

    def evict(self) -> None:
        """Drop the oldest record for want of space, and say so."""
        for epoch, items in self.unacked.items():
            if items and (len(items) > 1 or epoch != self.epoch):
                seq = min(items)
                if items[seq].kind == RecordKind.GAP:
                    return
                del items[seq]
                self.card.forget(epoch, seq)
                self.world.excused.add((epoch, seq))
                gap = Gap(epoch, seq, seq, GapReason.QUOTA, 0, 0, 1)
                self.append(RecordKind.GAP, rows.pack_gap(gap))
                return

    def die(self, power: bool) -> None:
        self.running = False
        self.cut()
        held = {(e, s) for e, items in self.unacked.items() for s in items} | self.card.keys()
        self.unacked = {}
        if power:
            self.card.cut_power(self.world.rng)
        self.world.excused |= held - self.card.keys()

    def stop(self) -> None:
        """Stop cleanly: END, everything to the card."""
        if not self.running:
            return
        self.append(RecordKind.END, rows.pack_end())
        self.commit(flush=True)
        self.die(power=False)

    # --- the session -------------------------------------------------------------------------

    def connect(self) -> None:
        if not self.running or self.sender is not None:
            return
        self.world.accept(self)
        states = []
        if self.world.design.lists_old_epochs:
            for epoch, items in self.unacked.items():
                if epoch != self.epoch and items:
                    intervals = tuple(ledger.of_seqs(sorted(items)))
                    next_seq = max(self.next_seqs[epoch], intervals[-1][1] + 1)
                    states.append(EpochState(epoch, bytes(16), next_seq, intervals))
        current = tuple(ledger.of_seqs(sorted(self.unacked.get(self.epoch, {}))))
        states.append(EpochState(self.epoch, bytes(16), self.next_seq, current))
        backlog = Backlog(0, 0, 0)
        hello = Hello(
            GATEWAY,
            self.instance,
            bytes(16),
            "model",
            tuple(states),
            CLOCK,
            (1,),
            65536,
            0,
            backlog,
        )
        self.sender = self.world.design.sender(hello, self.world.now)
        self.sent = set()
        self.pump()

    def cut(self) -> None:
        self.sender = None
        self.world.hang_up(self)

    def receive(self, message: bytes) -> None:
        if self.sender is None:
            return
        try:
            self.sender.receive(message, self.world.now)
        except RemoteProtocolError:
            self.cut()
            return
        self.pump()

    def tick(self) -> None:
        if self.sender is not None:
            self.sender.handle_timer(self.world.now)
            self.pump()

    def pump(self) -> None:
        """Do what the uplink does after every call into the sender."""
        sender = self.sender
        if sender is None:
            return
        for event in sender.events_received():
            if isinstance(event, Acked):
                self._acked(event.epoch, event.intervals)
            elif isinstance(event, Refused):
                if not event.resend:
                    raise Broken(f"dead letter: {event}")
                self.sent -= {(event.epoch, s) for a, b in event.intervals for s in range(a, b + 1)}
            elif isinstance(event, HeartbeatDue):
                beat = Heartbeat(CLOCK, self.next_seq, Backlog(0, 0, 0))
                sender.heartbeat(beat, self.world.now)
            elif isinstance(event, Opened) and not self.world.design.have_is_acked:
                for have in event.welcome.have:
                    self.sent |= {
                        (have.epoch, s) for a, b in have.intervals for s in range(a, b + 1)
                    }
        self._send_backlog()
        link = self.world.links[self.instance]
        link.up.extend(sender.messages_to_send())
        if sender.state is SenderState.LEFT:
            self.cut()

    def _acked(self, epoch: int, intervals: Iterable[Interval]) -> None:
        for first, last in intervals:
            for seq in [s for s in self.unacked.get(epoch, {}) if first <= s <= last]:
                self.world.check_acked(epoch, seq)
                del self.unacked[epoch][seq]
                self.card.forget(epoch, seq)

    def _send_backlog(self) -> None:
        sender = self.sender
        if sender is None or sender.state is not SenderState.OPEN:
            return
        for epoch, items in list(self.unacked.items()):
            waiting = [items[s] for s in sorted(items) if (epoch, s) not in self.sent]
            if waiting and sender.credit(Lane.BACKLOG) > 0:
                self._offer(epoch, waiting, Lane.BACKLOG)

    def _offer(self, epoch: int, items: list[Record], lane: Lane) -> None:
        sender = self.sender
        if sender is None:
            return
        design = self.world.design
        sender.announce(epoch, 1, SCHEMA)
        if not design.announces_each_session and self.told_announced:
            sender._out = [m for m in sender._out if m[1] != 3]  # the mutant's own doing
        try:
            taken = sender.offer(epoch, items, lane, self.world.now)
        except LocalProtocolError as error:
            raise Broken(f"the driver did what the sender forbids: {error}") from error
        self.told_announced = self.told_announced or taken > 0
        for item in items[:taken]:
            self.sent.add((epoch, item.seq))
            if design.delete_on_send:
                del self.unacked[epoch][item.seq]
                self.card.forget(epoch, item.seq)


class World:
    """Everything, and the truth."""

    def __init__(self, seed: int, design: Design | None = None) -> None:
        self.rng = random.Random(seed)
        self.design = design or Design()
        self.now = 0.0
        self.next_uid = 1
        self.uids: dict[Key, int] = {}
        self.stored: dict[Key, tuple[int, bytes]] = {}
        self.gone: dict[int, list[Interval]] = {}
        self.have: dict[int, ledger.IntervalSet] = {}
        self.ends: dict[int, int] = {}
        self.losses: dict[int, ledger.Loss] = {}
        self.pending: list[tuple[bytes, int, Record]] = []
        self.excused: set[Key] = set()
        """What a crash, a cut or a changed card may have taken: all that may ever be missing."""
        self.conflicts = 0
        self.sessions = 0
        self.duplicates = 0
        self.links: dict[bytes, LossyLink] = {}
        self.receivers: dict[bytes, Receiver] = {}
        self.table = SchemaTable()
        self.images: list[Card] = []
        self.agents = [Agent(self, Card(), b"original"), Agent(self, Card(), b"clone")]
        self.agents[0].boot()

    # --- truth -------------------------------------------------------------------------------

    def made(self, epoch: int, seq: int, uid: int | None) -> None:
        if uid is None:
            uid = self.next_uid
            self.next_uid += 1
        self.uids[epoch, seq] = uid

    def uid_of(self, epoch: int, seq: int) -> int:
        return self.uids[epoch, seq]

    def check_acked(self, epoch: int, seq: int) -> None:
        """Deleting after an ack is allowed only for what is stored, or known to be gone."""
        gone = any(a <= seq <= b for a, b in self.gone.get(epoch, ()))
        content = self.stored.get(self.design.store_key(epoch, seq))
        if not gone and (content is None or content[0] != self.uids[epoch, seq]):
            raise Broken(f"acked but not stored: epoch {epoch:x} seq {seq}")

    # --- the centre --------------------------------------------------------------------------

    def accept(self, agent: Agent) -> None:
        self.links[agent.instance] = LossyLink()
        self.receivers[agent.instance] = Receiver(
            ReceiverLimits(encodings=(1,)), self.table, self.now
        )

    def hang_up(self, agent: Agent) -> None:
        self.links.pop(agent.instance, LossyLink()).cut()
        self.receivers.pop(agent.instance, None)

    def hear(self, agent: Agent, message: bytes) -> None:
        receiver = self.receivers.get(agent.instance)
        if receiver is None:
            return
        try:
            receiver.receive(message, self.now)
        except RemoteProtocolError:
            agent.cut()
            return
        for event in receiver.events_received():
            if isinstance(event, HelloReceived):
                self._judge(event.hello)
                epochs = [state.epoch for state in event.hello.epochs]
                have = [EpochHave(e, tuple(self.have[e])) for e in epochs if e in self.have]
                self.sessions += 1
                receiver.welcome(self.sessions, have, 0, [self.table.intern(SCHEMA)], (), self.now)
            elif isinstance(event, RecordsReceived):
                self._take(agent, receiver, event)
            elif isinstance(event, ByeReceived):
                self.commit()
                receiver.bye(1, "", 0.0, self.now)
        self.flush(agent)

    def flush(self, agent: Agent) -> None:
        receiver = self.receivers.get(agent.instance)
        if receiver is not None:
            self.links[agent.instance].down.extend(receiver.messages_to_send())

    def _take(self, agent: Agent, receiver: Receiver, event: RecordsReceived) -> None:
        self.pending.extend((agent.instance, event.epoch, item) for item in event.records)
        if not self.design.commits_have_with_data:
            for item in event.records:
                self._have(event.epoch).add(item.seq, item.seq)
        if self.design.ack_on_receipt:
            seqs = [item.seq for item in event.records]
            receiver.committed(event.epoch, ledger.of_seqs(seqs), self.now)

    def _have(self, epoch: int) -> ledger.IntervalSet:
        return self.have.setdefault(epoch, ledger.IntervalSet())

    def commit(self) -> None:
        """COMMIT the batch in memory, then ack it to the sessions that brought it."""
        answers: dict[tuple[bytes, int], list[int]] = {}
        for instance, epoch, item in self.pending:
            self._store(epoch, item)
            answers.setdefault((instance, epoch), []).append(item.seq)
        self.pending = []
        for (instance, epoch), seqs in answers.items():
            receiver = self.receivers.get(instance)
            if receiver is None or receiver.state is ReceiverState.WAIT_HELLO:
                continue
            intervals = [(seq, seq) for seq in seqs]
            if self.design.cumulative_ack:
                intervals = [(1, max(seqs))]
            if not self.design.acks_name_their_epoch:
                epoch = receiver.current_epoch or epoch
            receiver.committed(epoch, intervals, self.now)
        for agent in self.agents:
            self.flush(agent)

    def _store(self, epoch: int, item: Record) -> None:
        key = self.design.store_key(epoch, item.seq)
        if key in self.stored:
            self.duplicates += 1
            if self.stored[key][1] != item.data:
                self.conflicts += 1
            return
        self.stored[key] = (self.uids[epoch, item.seq], item.data)
        self._have(epoch).add(item.seq, item.seq)
        if item.kind == RecordKind.GAP:
            gap = rows.unpack_gap(item.payload)
            self.gone.setdefault(gap.epoch, []).append((gap.first, gap.last))
        elif item.kind == RecordKind.END:
            self.ends[epoch] = item.seq

    def _judge(self, hello: Hello) -> None:
        """Book what is lost of every epoch known, as `docs/protocol.md` §Epochs says."""
        listed = {state.epoch: (state.next_seq, state.available) for state in hello.epochs}
        current = hello.epochs[-1].epoch
        for epoch in {*self.have, *self.losses, *listed}:
            have = [*self.have.get(epoch, ()), *self.gone.get(epoch, ())]
            self.losses[epoch] = ledger.loss(
                have, self.ends.get(epoch), listed.get(epoch), current=epoch == current
            )

    def crash_centre(self) -> None:
        """Lose what was not committed, and every session."""
        self.pending = []
        for agent in self.agents:
            agent.cut()

    # --- the link ----------------------------------------------------------------------------

    def deliver_up(self, agent: Agent) -> bool:
        link = self.links.get(agent.instance)
        message = link.deliver(link.up) if link is not None else None
        if message is not None:
            self.hear(agent, message)
        return message is not None

    def deliver_down(self, agent: Agent) -> bool:
        link = self.links.get(agent.instance)
        message = link.deliver(link.down) if link is not None else None
        if message is not None:
            agent.receive(message)
        return message is not None

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for agent in self.agents:
            receiver = self.receivers.get(agent.instance)
            if receiver is not None:
                try:
                    receiver.handle_timer(self.now)
                except RemoteProtocolError:
                    agent.cut()
                    continue
                if receiver.state is ReceiverState.CLOSED:
                    agent.cut()
            agent.tick()

    # --- cards -------------------------------------------------------------------------------

    def image(self, agent: Agent) -> None:
        """Take an image of a card."""
        self.images.append(deepcopy(agent.card))
        del self.images[:-4]

    def swap_card(self, agent: Agent, image: int | None) -> None:
        """Power off, put in an image (``None``: a new card), power on."""
        agent.die(power=True)
        before = agent.card.keys()
        agent.card = deepcopy(self.images[image]) if image is not None else Card()
        self.excused |= before - agent.card.keys()
        agent.boot()

    # --- the end -----------------------------------------------------------------------------

    def settle(self) -> None:
        """Give every agent a good link and the centre its peace; then check every promise."""
        for _ in range(3):
            for agent in self.agents:
                if not agent.running and (agent.instance == b"original" or agent.card.written):
                    agent.boot()
                agent.cut()
                agent.connect()
            for _ in range(400):
                self.advance(0.01)
                moved = [self.deliver_up(a) | self.deliver_down(a) for a in self.agents]
                self.commit()
                if not any(moved) and not any(link.up or link.down for link in self.links.values()):
                    break
        self.check_settled()

    def check_settled(self) -> None:
        if self.conflicts:
            raise Broken(f"{self.conflicts} key conflicts")
        for agent in self.agents:
            left = sum(map(len, agent.unacked.values())) if agent.running else 0
            if left:
                raise Broken(f"the link is good and {left} records stay in the spool")
        seen: dict[int, Key] = {}
        for key, (uid, _) in self.stored.items():
            if uid in seen:
                raise Broken(f"record {uid} is stored as {seen[uid]} and {key}")
            seen[uid] = key
        for (epoch, seq), uid in self.uids.items():
            if uid in seen:
                continue
            if (epoch, seq) not in self.excused:
                raise Broken(f"epoch {epoch:x} seq {seq} is missing, and was safe")
            if not self._accounted(epoch, seq):
                raise Broken(f"epoch {epoch:x} seq {seq} is missing and nothing says so")

    def _accounted(self, epoch: int, seq: int) -> bool:
        if epoch not in self.losses:
            return True  # no word of this epoch ever reached the centre
        if any(a <= seq <= b for a, b in self.gone.get(epoch, ())):
            return True
        loss = self.losses[epoch]
        if any(a <= seq <= b for a, b in loss.lost):
            return True
        return self.design.sees_lost_tails and loss.tail_from is not None and seq >= loss.tail_from
