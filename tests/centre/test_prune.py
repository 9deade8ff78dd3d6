"""Restarts for years: what the centre remembers of them is bounded."""

from dataclasses import replace
from pathlib import Path

from gateway.centre.store.keeper import Retention
from gateway.process.clock import Clock
from gateway.wire.message import ClockReading, ClockSource, EpochState
from tests.centre.crash_writer import hello
from tests.centre.peer import BOOT, meter, rows_record
from tests.centre.shop import EPOCH, Shop, stored_seconds

MINUTE_NS = 60_000_000_000
BASE_NS = 1_700_000_000_000_000_000


class Late(Clock):
    """A wall clock that the test sets."""

    ahead_ns = 0

    def wall_ns(self) -> int:
        return BASE_NS + self.ahead_ns


def restart(shop: Shop, clock: Late, number: int, *listed: EpochState) -> None:
    """Let the gateway's box boot and record one row."""
    epoch, boot = EPOCH + number, number.to_bytes(16, "big")
    said = replace(
        hello(epoch),
        boot_id=boot,
        epochs=(*listed, EpochState(epoch, boot, 1, ())),
        clock=ClockReading(1_000_000_000, clock.wall_ns(), ClockSource.NTP, 100),
    )
    shop.greet(epoch, said)
    shop.ingest([rows_record(epoch, 1, [meter(1)])], epoch=epoch)


def test_an_agent_that_restarts_every_minute_leaves_a_day_of_rows(tmp_path: Path) -> None:
    """With a day's retention nothing older than a day is left of its epochs, boots and anchors."""
    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=0.01, size=0), clock)
    for number in range(1, 121):
        clock.ahead_ns = number * MINUTE_NS
        restart(shop, clock, number)
        if number % 20 == 0:
            shop.keeper.retain()
    kept = 16  # 14.4 minutes, and those that wait for the next look
    for table in ("epoch", "ledger", "binding", "stream", "boot", "anchor", "gap", "strip"):
        (count,) = shop.query(f"SELECT count(*) FROM {table}")[0]
        assert isinstance(count, int) and 0 < count <= kept, table
    assert shop.query("SELECT count(*) FROM sums")[0] <= (kept,)
    newest = shop.query("SELECT max(id) FROM epoch")[0][0]
    assert newest == 121  # numbers are never used again
    shop.close()


def test_an_epoch_that_is_listed_stays(tmp_path: Path) -> None:
    """As long as the agent lists it, its records may come again: they must stay duplicates."""
    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=0.01, size=0), clock)
    record = rows_record(EPOCH, 1, [meter(1)])
    shop.ingest([record])
    listed = EpochState(EPOCH, BOOT, 2, ((1, 1),))
    clock.ahead_ns = MINUTE_NS
    restart(shop, clock, 1, listed)
    clock.ahead_ns = 1000 * MINUTE_NS
    shop.keeper.retain()
    assert shop.query("SELECT count(*) FROM strip") == [(0,)]
    assert shop.ingest([record]).stored == 0
    restart(shop, clock, 2)
    clock.ahead_ns = 2000 * MINUTE_NS
    shop.keeper.retain()
    assert shop.query("SELECT count(*) FROM epoch") == [(1,)]
    shop.close()


def test_a_card_older_than_memory_is_stored_anew(tmp_path: Path) -> None:
    """An epoch the centre forgot begins again when an old card brings it back."""
    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=0.01, size=0), clock)
    record = rows_record(EPOCH, 1, [meter(1)])
    shop.ingest([record])
    restart(shop, clock, 1)
    clock.ahead_ns = 1000 * MINUTE_NS
    shop.keeper.retain()
    restart(shop, clock, 2, EpochState(EPOCH, BOOT, 2, ((1, 1),)))
    shop.greet(EPOCH, replace(hello(EPOCH), epochs=(EpochState(EPOCH, BOOT, 2, ((1, 1),)),)))
    assert shop.ingest([record]).stored == 1
    shop.close()


def test_hellos_of_a_flapping_link_do_not_pile_up_anchors(tmp_path: Path) -> None:
    """One an hour while the clock stands still; a clock that was set is noted at once."""
    shop = Shop(tmp_path / "store.sqlite")
    for second in range(2, 1000):
        wall = BASE_NS + second * 10**9 + (5 * 10**9 if second > 500 else 0)
        clock = ClockReading(second * 10**9, wall, ClockSource.NTP, 100)
        if second % 20 == 0:
            shop.greet(EPOCH, replace(hello(EPOCH), clock=clock))
    (count,) = shop.query("SELECT count(*) FROM anchor")[0]
    assert isinstance(count, int) and count <= 3
    shop.close()


def test_a_gateway_whose_clock_says_2000_keeps_its_readings(tmp_path: Path) -> None:
    """A dead battery dates readings wrongly; it never makes them old enough to be deleted."""
    clock = Late()
    shop = Shop(tmp_path / "store.sqlite", Retention(days=30, size=0), clock)
    boot = b"r" * 16
    wrong = ClockReading(1_000_000_000, 946_684_800 * 10**9, ClockSource.RTC, -1)
    state = EpochState(EPOCH + 1, boot, 1, ())
    shop.greet(EPOCH + 1, replace(hello(EPOCH + 1), boot_id=boot, epochs=(state,), clock=wrong))
    shop.ingest([rows_record(EPOCH + 1, 1, [meter(3)])], epoch=EPOCH + 1)
    shop.keeper.retain()
    assert stored_seconds(shop.path) == [3.0]
    clock.ahead_ns = 31 * 86_400 * 10**9
    shop.keeper.retain()
    assert stored_seconds(shop.path) == []
    shop.close()
