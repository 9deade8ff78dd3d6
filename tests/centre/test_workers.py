"""Several processes, one store: one session a gateway, and counts that add up.

Two centres in one process stand for two workers: they share nothing but the store's file.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.centre.daemon import Centre
from gateway.centre.store.jobs import Alive
from gateway.config.centre import (
    AdminSettings,
    CentreSettings,
    DrainSettings,
    StoreSettings,
    WebSettings,
)
from gateway.process.clock import Clock
from gateway.wire.message import Bye, ByeCode
from tests.centre.peer import Peer, meter, rows_record
from tests.waiting import until


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Centre, Centre]]:
    settings = CentreSettings(
        listen="127.0.0.1:0",
        node="test",
        workers=2,
        tokens_file="tokens",
        store=StoreSettings(path="store.sqlite"),
        admin=AdminSettings("127.0.0.1:0"),
        web=WebSettings(listen=""),
        drain=DrainSettings(timeout_s=2.0, retry_after_s=1.0),
    )
    workers = [Centre(settings, tmp_path, Clock(), number) for number in range(2)]
    for worker in workers:
        await worker.open()
    try:
        yield workers[0], workers[1]
    finally:
        for worker in workers:
            await worker.close()


def active(*workers: Centre) -> int:
    return sum(worker.server.active for worker in workers)


async def replaced(peer: Peer) -> None:
    bye = await peer.receive()
    assert isinstance(bye, Bye) and bye.code == ByeCode.REPLACED
    assert (await peer.closed())[0] == 1000


async def test_an_idle_session_ends_once_its_gateway_is_at_another_worker(tmp_path: Path) -> None:
    """The next sign of life of the old worker closes it; the sum is one session again."""
    async with two(tmp_path) as (first, second):
        old = Peer(first)
        await old.open()
        second.look_at_tokens()
        new = Peer(second, token=old.token, epoch=old.epoch)
        await new.open()
        assert (await new.rows([1])).intervals == ((1, 1),)
        first.writer.submit(Alive(wall_ns=first.server.clock.wall_ns(), done=first.server.alive))
        await replaced(old)
        await until_active(1, first, second)
        assert first.metrics.connections + second.metrics.connections == 2
        assert first.metrics.closes["centre", "replaced"] == 1
        assert not second.metrics.closes
        await new.socket.close()
        await until_active(0, first, second)


async def test_records_of_a_session_that_was_taken_over_are_not_acked(tmp_path: Path) -> None:
    """The gateway sends them again where it is now; each is stored and counted once."""
    async with two(tmp_path) as (first, second):
        old = Peer(first)
        await old.open()
        await old.rows([1])
        second.look_at_tokens()
        new = Peer(second, token=old.token, epoch=old.epoch)
        welcome = await new.open()
        assert [have.intervals for have in welcome.have] == [((1, 1),)]
        record = rows_record(old.epoch, 2, [meter(2)])
        with pytest.raises(AssertionError, match="Bye"):
            await old.data([record])
        assert (await new.data([record])).intervals == ((2, 2),)
        assert first.metrics.records + second.metrics.records == 2
        assert first.metrics.duplicates + second.metrics.duplicates == 0
        await until_active(1, first, second)
        # And back again: what the first worker remembers of the epoch is read anew.
        back = Peer(first, token=old.token, epoch=old.epoch)
        welcome = await back.open()
        assert [have.intervals for have in welcome.have] == [((1, 2),)]
        assert (await back.data([record])).intervals == ((2, 2),)
        assert first.metrics.duplicates == 1
        await back.socket.close()
        await new.socket.close()


async def test_another_box_is_refused_by_every_worker(tmp_path: Path) -> None:
    """Which worker it meets makes no difference to a clone."""
    async with two(tmp_path) as (first, second):
        held = Peer(first)
        await held.open()
        second.look_at_tokens()
        clone = Peer(second, token=held.token, instance=b"hw-2")
        await clone.connect()
        answer = await clone.hello()
        assert isinstance(answer, Bye) and answer.code == ByeCode.IDENTITY
        assert active(first, second) == 1
        await held.socket.close()


async def until_active(count: int, *workers: Centre) -> None:
    await until(lambda: active(*workers) == count)
