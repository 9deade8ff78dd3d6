"""What is lost: counted once, never before the agent has had its say."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from gateway.centre.store.jobs import Greeting, Ingest
from gateway.wire import record, rows
from gateway.wire.hello import fit
from gateway.wire.limits import MAX_EPOCHS, MAX_SEQ
from gateway.wire.message import EpochState, Gap, GapReason, Interval
from gateway.wire.record import Record, RecordKind
from tests.centre.crash_writer import hello
from tests.centre.peer import BOOT, meter, rows_record
from tests.centre.shop import EPOCH, Shop

NEXT = EPOCH + 1


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "store.sqlite")
    yield made
    made.close()


def gap(
    seq: int, first: int, last: int, *, of: int = EPOCH, readings: int = 10, epoch: int = EPOCH
) -> Record:
    payload = rows.pack_gap(Gap(of, first, last, GapReason.QUOTA, 0, 0, readings))
    return record.pack(record.epoch_seed(epoch), seq, RecordKind.GAP, 0, payload)


def row(seq: int, epoch: int = EPOCH) -> Record:
    return rows_record(epoch, seq, [meter(seq)])


def counted(*jobs: Ingest | Greeting) -> dict[str, tuple[int, int]]:
    """Return reason → (gaps, records) as the metrics count them."""
    gaps, records = Counter[str](), Counter[str]()
    for job in jobs:
        for reason, lost in job.lost if isinstance(job, Ingest) else job.gaps:
            gaps[reason] += 1
            records[reason] += max(0, lost)
    return {reason: (gaps[reason], records[reason]) for reason in gaps}


def say(
    shop: Shop, epochs: Sequence[tuple[int, int, tuple[Interval, ...]]], *, complete: bool = True
) -> Greeting:
    """Say Hello with (epoch, next_seq, available)."""
    states = tuple(EpochState(epoch, BOOT, top, available) for epoch, top, available in epochs)
    return shop.greet(
        epochs[-1][0], replace(hello(epochs[-1][0]), epochs=states, complete=complete)
    )


def test_a_gap_over_what_is_stored_counts_what_is_not(shop: Shop) -> None:
    """An agent that drops records whose ack was lost has lost nothing."""
    shop.ingest([row(1), row(2), row(5)])
    held = shop.ingest([gap(6, 1, 2)])
    assert counted(held) == {}
    part = shop.ingest([gap(7, 1, 5)])
    assert counted(part) == {"quota": (1, 2)}
    assert shop.query("SELECT first, last, records, readings FROM gap") == [(3, 4, 2, -1)]


def test_a_gap_in_the_same_data_as_its_records_counts_nothing(shop: Shop) -> None:
    """The order inside one Data makes no difference."""
    assert counted(shop.ingest([row(1), row(2), gap(3, 1, 2)])) == {}


def test_a_gap_said_again_counts_what_is_new(shop: Shop) -> None:
    """Overlapping GAP records, of whatever order, count each record once."""
    jobs = [
        shop.ingest([gap(seq, *span)])
        for seq, span in ((100, (10, 19)), (101, (15, 24)), (102, (5, 30)), (103, (5, 30)))
    ]
    assert counted(*jobs) == {"quota": (3, 26)}
    assert shop.query("SELECT first, last FROM accounted") == [(5, 30)]


def test_a_gap_behind_in_the_backlog_is_waited_for(shop: Shop) -> None:
    """What accounts for an old epoch stands in a later one: no verdict before that has come."""
    shop.ingest([row(1)])
    greeting = say(shop, [(EPOCH, 10, ((9, 9),)), (NEXT, 3, ((1, 2),))])
    last = shop.ingest([row(9)], backlog=True)
    assert counted(greeting, last) == {}
    end = shop.ingest([gap(1, 2, 8, epoch=NEXT), row(2, NEXT)], epoch=NEXT, backlog=True)
    assert counted(end) == {"quota": (1, 7), "cut_off": (1, 0)}
    assert shop.query("SELECT reason, first, last FROM gap ORDER BY first") == [
        (GapReason.QUOTA, 2, 8),
        (GapReason.CUT_OFF, 10, None),
    ]


def test_a_verdict_given_again_is_counted_once(shop: Shop) -> None:
    """A late record of a judged epoch replaces the verdict and adds nothing to the counters."""
    shop.ingest([row(1)])
    first = say(shop, [(EPOCH, 5, ()), (NEXT, 1, ())])
    assert counted(first) == {"not_received": (1, 3), "cut_off": (1, 0)}
    late = shop.ingest([row(3)])
    assert counted(late) == {"not_received": (1, 0)}  # two gaps now, of fewer records
    assert shop.query("SELECT first, last FROM gap ORDER BY first") == [(2, 2), (4, 4), (5, None)]


def test_records_still_in_the_queue_are_stored_before_their_epoch_is_judged(shop: Shop) -> None:
    """A quick reconnect with a new epoch does not condemn what was received already."""
    gate, first = threading.Event(), shop.job([row(30)])
    first.done = lambda _: cast(None, gate.wait(10))
    shop.writer.submit(first)  # its callback holds the writer, the queue grows
    queued = [shop.submit(shop.job([row(seq)], backlog=seq > 1)) for seq in range(1, 30)]
    end = record.pack(record.epoch_seed(EPOCH), 31, RecordKind.END, 0, rows.pack_end())
    queued.append(shop.submit(shop.job([end], backlog=True)))
    greeting = Greeting(
        hello=replace(
            hello(NEXT), epochs=(EpochState(EPOCH, BOOT, 32, ()), EpochState(NEXT, BOOT, 1, ()))
        ),
        session=9,
        remote="",
        proxy="",
        received_ns=shop.clock.wall_ns(),
    )
    answered = shop.submit(greeting)
    gate.set()
    assert answered.wait(10) and all(job.wait(10) for job in queued)
    assert greeting.gaps == () and greeting.have[0].intervals == ((1, 31),)
    assert shop.query("SELECT count(*) FROM gap") == [(0,)]
    assert not shop.writer._waiting


def test_more_epochs_than_a_hello_holds_are_not_lost(shop: Shop) -> None:
    """The rest is waited for until a complete Hello, whatever else says something of it."""
    epochs = [EPOCH + n for n in range(1, MAX_EPOCHS + 40)]
    for epoch in epochs[-8:-1]:  # the centre has heard of these
        say(shop, [(epoch, 1, ())], complete=False)
        shop.ingest([row(1, epoch)], epoch=epoch)
    states = tuple(EpochState(epoch, BOOT, 3, ((2, 2),)) for epoch in epochs[:-1])
    current = EpochState(epochs[-1], BOOT, 1, ())
    said, _ = fit(replace(hello(epochs[-1]), epochs=(*states, current)))
    assert not said.complete and len(said.epochs) == MAX_EPOCHS
    greeting = shop.greet(epochs[-1], said)
    about = shop.ingest([gap(1, 5, 6, of=epochs[-2], epoch=epochs[-1])], epoch=epochs[-1])
    jobs = [shop.ingest([row(2, s.epoch)], epoch=s.epoch) for s in said.epochs[:3]]
    assert counted(greeting, *jobs) == {} and counted(about) == {"quota": (1, 2)}
    assert shop.query("SELECT count(*) FROM gap WHERE reason >= 16") == [(0,)]
    last = say(shop, [(epoch, 3, ()) for epoch in epochs[-8:-1]] + [(epochs[-1], 2, ())])
    assert counted(last)["not_received"][0] >= 7


def test_the_highest_seq_there_is_locks_nobody_out(shop: Shop) -> None:
    """Nothing comes after it, so there is no tail to speak of."""
    shop.ingest([row(1), rows_record(EPOCH, MAX_SEQ, [meter(2)])])
    greeting = say(shop, [(NEXT, 1, ())])
    assert counted(greeting) == {"not_received": (1, MAX_SEQ - 2)}
