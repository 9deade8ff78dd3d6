"""Pins the control socket: who may open it, what it answers, what it refuses, its bounds."""

import asyncio
import contextlib
import grp
import json
import os
import pwd
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.agent import control
from gateway.agent.control import MAX_CONNECTIONS, Control
from gateway.agent.latest import Latest
from gateway.errors import NoReplyError, RefusedError
from gateway.process.control_messages import (
    MAX_REQUEST,
    PointState,
    ReadResult,
    ReloadWord,
    Request,
    Status,
    WriteResult,
    encode,
)
from tests.waiting import PATIENCE_S, until


class QuietDesk:
    """An agent in which nothing happens: a fixed state, and a device that does not answer."""

    def __init__(self, points: int = 2) -> None:
        self.latest = Latest()
        self.count = points
        self.asked: list[int] = []
        self.written: list[tuple[str, str, str]] = []

    def status(self) -> Status:
        return Status("quiet", pid=os.getpid())

    def points(self, after: int = -1) -> Iterator[PointState]:
        self.asked.append(after)
        return iter([PointState("d", f"p{i}") for i in range(self.count)])

    async def read(self, name: str) -> ReadResult:
        if name == "silent":
            raise NoReplyError("silent: no reply within 1 s")
        return ReadResult(name)

    async def write(self, name: str, text: str, who: str) -> WriteResult:
        if name == "locked":
            raise RefusedError("locked: not writable; mark it")
        self.written.append((name, text, who))
        return WriteResult(name, told=True)

    async def reload(self) -> ReloadWord:
        return ReloadWord(False, "abc", "gateway.toml:3: wrong")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[QuietDesk]:
    """A desk whose socket is served at tmp_path/c/control.sock."""
    desk = QuietDesk()
    serving = asyncio.create_task(Control(tmp_path / "c/control.sock", desk).serve())
    await _served(tmp_path)
    yield desk
    serving.cancel()
    await asyncio.wait({serving})


async def _served(tmp_path: Path) -> None:
    await until((tmp_path / "c/control.sock").exists)


class Peer:
    """A raw peer of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, tmp_path: Path) -> "Peer":
        return cls(*await asyncio.open_unix_connection(tmp_path / "c/control.sock"))

    async def ask(self, line: bytes) -> dict[str, Any]:
        self.writer.write(line)
        answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_each_request_is_answered(desk: QuietDesk, tmp_path: Path) -> None:
    """One conversation can ask everything, one after the other."""
    peer = await Peer.at(tmp_path)
    status = await peer.ask(encode(Request("status")))
    assert status["v"] == 1
    assert status["status"]["gateway_id"] == "quiet"
    points = await peer.ask(encode(Request("points")))
    assert [point["point"] for point in points["points"]] == ["p0", "p1"]
    assert "more" not in points
    read = await peer.ask(encode(Request("read", "d.p")))
    assert read["read"]["device"] == "d.p"
    word = await peer.ask(encode(Request("reload")))
    assert word["reload"]["text"] == "gateway.toml:3: wrong"
    await peer.leave()


async def test_the_kernel_says_who_writes(desk: QuietDesk, tmp_path: Path) -> None:
    """The user of a write is not what the peer claims."""
    peer = await Peer.at(tmp_path)
    await peer.ask(encode(Request("write", "d.p", "3")))
    await peer.leave()
    assert desk.written == [("d.p", "3", pwd.getpwuid(os.getuid()).pw_name)]


async def test_what_is_refused_comes_with_its_reason(desk: QuietDesk, tmp_path: Path) -> None:
    """A device that is silent and a point that is locked are answers; the conversation goes on."""
    peer = await Peer.at(tmp_path)
    assert (await peer.ask(encode(Request("read", "silent"))))["error"] == (
        "silent: no reply within 1 s"
    )
    assert (await peer.ask(encode(Request("write", "locked", "1"))))["error"] == (
        "locked: not writable; mark it"
    )
    assert "status" in await peer.ask(encode(Request("status")))
    await peer.leave()


async def test_nonsense_ends_the_conversation(desk: QuietDesk, tmp_path: Path) -> None:
    """Unknown requests, other versions and no JSON are named, then the peer is let go."""
    for line, word in (
        (b'{"v":1,"request":"dance"}\n', "dance"),
        (b'{"v":9,"request":"status"}\n', "this agent speaks 1"),
        (b"GET / HTTP/1.1\n", "not JSON"),
    ):
        peer = await Peer.at(tmp_path)
        assert word in str((await peer.ask(line))["error"])
        assert await peer.reader.read() == b""
        await peer.leave()


async def test_a_hostile_peer_is_no_error_of_the_agent(
    desk: QuietDesk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Names that are no text, numbers that are none, peers that leave at once, one too many of
    them: answered or let go, and the log stays empty (a trace-back there is our mistake)."""
    peer = await Peer.at(tmp_path)
    answer = await peer.ask(b'{"v":1,"request":"read","name":"\\ud800"}\n')
    assert answer["read"]["device"] == "\ud800"
    await peer.leave()
    for line in (
        b'{"v":1,"request":"subscribe","every_s":1%s}\n' % (b"0" * 400),
        b'{"v":1,"request":"subscribe","every_s":[1]}\n',
        b'{"v":1,"request":["read"]}\n',
        b"[" * 3000 + b"\n",
    ):
        peer = await Peer.at(tmp_path)
        assert "control socket" in str((await peer.ask(line))["error"])
        await peer.leave()
    peers = [await Peer.at(tmp_path) for _ in range(MAX_CONNECTIONS)]
    for peer in peers:
        await peer.ask(encode(Request("status")))
    for _ in range(20):
        left = socket.socket(socket.AF_UNIX)
        left.connect(str(tmp_path / "c/control.sock"))
        left.close()  # gone before it is told that there is no room
        await asyncio.sleep(0.005)
    for peer in peers:
        await peer.leave()
    assert caplog.records == []


async def test_an_endless_request_is_cut(desk: QuietDesk, tmp_path: Path) -> None:
    """A peer that never ends its line costs at most the limit."""
    peer = await Peer.at(tmp_path)
    answer = await peer.ask(b"x" * (3 * MAX_REQUEST))
    assert str(MAX_REQUEST) in str(answer["error"])
    await peer.leave()


async def test_nobody_keeps_the_agent_from_stopping(tmp_path: Path) -> None:
    """A watch, a command that asks nothing and half a request: all are let go at once."""
    serving = asyncio.create_task(Control(tmp_path / "c/control.sock", QuietDesk()).serve())
    await _served(tmp_path)
    peers = [await Peer.at(tmp_path) for _ in range(3)]
    peers[0].writer.write(encode(Request("subscribe", every_s=60.0)))
    assert await peers[0].reader.readline()
    peers[1].writer.write(b'{"v":1,')
    await peers[2].ask(encode(Request("status")))
    serving.cancel()
    done, _ = await asyncio.wait({serving}, timeout=5.0)
    assert done and not (tmp_path / "c/control.sock").exists()
    for peer in peers:
        with contextlib.suppress(ConnectionResetError):
            await peer.reader.read()
        await peer.leave()


async def test_connections_are_bounded(desk: QuietDesk, tmp_path: Path) -> None:
    """One too many is told so; when another leaves there is room again."""
    peers = [await Peer.at(tmp_path) for _ in range(MAX_CONNECTIONS)]
    for peer in peers:
        await peer.ask(encode(Request("status")))
    late = await Peer.at(tmp_path)
    assert "end one" in str(json.loads(await late.reader.readline())["error"])
    await late.leave()
    await peers.pop().leave()
    again: dict[str, Any] = {"error": "not asked"}
    while "error" in again:
        peer = await Peer.at(tmp_path)
        again = await peer.ask(encode(Request("status")))
        await peer.leave()
    for peer in peers:
        await peer.leave()


async def test_many_points_come_in_several_lines(desk: QuietDesk, tmp_path: Path) -> None:
    """No line holds more than 100 points; the last one says that it is the last."""
    desk.count = 250
    peer = await Peer.at(tmp_path)
    lines = [await peer.ask(encode(Request("points")))]
    while lines[-1].get("more"):
        lines.append(json.loads(await peer.reader.readline()))
    assert [len(line["points"]) for line in lines] == [100, 100, 50]
    await peer.leave()


async def test_a_subscription_goes_on_until_the_peer_leaves(
    desk: QuietDesk, tmp_path: Path
) -> None:
    """Each update has the state and what changed since the one before."""
    peer = await Peer.at(tmp_path)
    first = await peer.ask(encode(Request("subscribe", every_s=0.2)))
    assert "status" in first and first["more"] is True
    assert "points" in json.loads(await peer.reader.readline())
    desk.latest.rows_seen = 7
    for _ in range(2):
        assert "status" in json.loads(await peer.reader.readline())
        assert "points" in json.loads(await peer.reader.readline())
    assert desk.asked == [-1, 0, 7]
    await peer.leave()


async def test_the_socket_is_for_its_group_only(desk: QuietDesk, tmp_path: Path) -> None:
    """Mode 0660; the group is `gateway` where there is one."""
    status = (tmp_path / "c/control.sock").stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    groups = [group.gr_gid for group in grp.getgrall() if group.gr_name == "gateway"]
    assert status.st_gid in (groups if groups and os.geteuid() == 0 else [os.getegid(), *groups])


def test_the_socket_listens_once_its_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that comes while the agent still sets the file's group is not refused."""
    path = tmp_path / "control.sock"
    came: list[bool] = []

    def come(_: str) -> None:
        with socket.socket(socket.AF_UNIX) as command:
            command.connect(str(path))
        came.append(True)
        raise KeyError

    monkeypatch.setattr(grp, "getgrnam", come)
    with control._listen(path):
        assert came == [True]


async def test_a_killed_agents_socket_is_replaced(tmp_path: Path) -> None:
    """A file that nobody serves does not keep the next agent from listening."""
    path = tmp_path / "c/control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    serving = asyncio.create_task(Control(path, QuietDesk()).serve())
    answer, end = b"", time.monotonic() + PATIENCE_S
    while not answer:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            assert time.monotonic() < end
            await asyncio.sleep(0)
            continue
        writer.write(encode(Request("status")))
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert b"quiet" in answer
    serving.cancel()
    await asyncio.wait({serving})
    assert not path.exists()


async def test_a_running_agents_socket_is_left_alone(
    desk: QuietDesk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A second agent with the same path polls without a socket, and says so once."""
    await Control(tmp_path / "c/control.sock", QuietDesk()).serve()
    assert "another agent serves it" in caplog.text
    peer = await Peer.at(tmp_path)
    assert "status" in await peer.ask(encode(Request("status")))
    await peer.leave()


async def test_a_directory_that_cannot_be_used_costs_only_the_commands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent goes on polling without its socket."""
    (tmp_path / "file").write_text("")
    await Control(tmp_path / "file/control.sock", QuietDesk()).serve()
    assert "no control socket" in caplog.text
