"""The control socket: where a technician's commands reach the running agent.

Owns the unix socket, its mode and group, and the bounds: connections, bytes of a request, time for
one. What is answered is `agent.desk`'s, the messages are `process.control_messages`'s. Whoever may
open the socket (root, the group `gateway`) may do what the commands do; there is no second check.

Source: unix(7) (SO_PEERCRED, the permissions of a socket's path).
"""

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.agent.desk import Desk
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.process.control_messages import (
    MAX_REQUEST,
    PointState,
    Reply,
    Request,
    SourceRead,
    decode_request,
    encode,
)

logger = logging.getLogger(__name__)

MODE = 0o660
GROUP = "gateway"
MAX_CONNECTIONS = 8
REQUEST_S = 60.0
"""A connection that asks nothing for so long is closed."""
SEND_S = 10.0
"""A peer that takes nothing for so long (a suspended `watch`) is let go."""
POINTS_A_LINE = 100
"""Small enough that the event loop, which serves the uplink too, is not held up for 2 ms."""
MIN_EVERY_S, MAX_EVERY_S = 0.2, 60.0


class Control:
    """Listens at `path` until cancelled; a path that cannot be used is told and left."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._writers: set[asyncio.StreamWriter] = set()
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve commands until cancelled. Never raises for the socket's sake: polling goes on."""
        try:
            listener = _listen(self._path)
        except OSError as error:
            logger.warning(
                "no control socket path=%s reason=%r: live commands do not work; give the daemon "
                "a directory it may write (RuntimeDirectory=, or gateway.control)",
                self._path,
                error.strerror or str(error),
            )
            return
        server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_REQUEST)
        try:
            await self._stopping.wait()
        finally:
            # Nobody is waited for (the library does, from Python 3.12 on): a `watch` would keep the
            # agent from stopping.
            server.close()
            self._stopping.set()
            for writer in tuple(self._writers):
                writer.transport.abort()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MAX_CONNECTIONS:
            text = f"{MAX_CONNECTIONS} commands are connected already; end one (a `gateway watch`)"
            with contextlib.suppress(OSError, TimeoutError):
                await _send(writer, Reply(error=text))
            writer.close()
            return
        self._writers.add(writer)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError):
            pass  # the peer left, or stalls: its command has ended or will say so itself
        except Exception:  # supervised: a bug in a command must not touch the agent
            logger.exception("control connection failed")
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(REQUEST_S):
                    line = await reader.readline()
            except ValueError:  # longer than the limit: nothing after it can be trusted
                await _send(writer, Reply(error=f"a request has at most {MAX_REQUEST} bytes"))
                return
            if not line:
                return
            try:
                await self._answer(decode_request(line), writer)
            except RemoteProtocolError as error:
                await _send(writer, Reply(error=str(error)))
                return
            except GatewayError as error:
                await _send(writer, Reply(error=str(error)))

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        desk, name = self._desk, request.name
        match request.request:
            case "status":
                await _send(writer, Reply(status=desk.status()))
            case "points":
                await self._points(writer, desk.points())
            case "subscribe":
                await self._subscribed(request.every_s, writer)
            case "read":
                found = await desk.read(name)
                if isinstance(found, SourceRead):
                    await _send(writer, Reply(source=found))
                else:
                    await _send(writer, Reply(read=found))
            case "write":
                result = await desk.write(name, request.value, _who(writer))
                await _send(writer, Reply(write=result))
            case "reload":
                await _send(writer, Reply(reload=await desk.reload()))
            case other:
                known = "status, points, subscribe, read, write, reload"
                raise RemoteProtocolError(f"control request {other!r}: known are {known}")

    async def _subscribed(self, every_s: float, writer: asyncio.StreamWriter) -> None:
        """Send the state and the points that changed, each `every_s`, until the peer leaves.

        What a slow peer misses is not queued: the next update holds the newest values.
        """
        every_s = min(MAX_EVERY_S, max(MIN_EVERY_S, every_s))
        seen = -1
        while True:
            after, seen = seen, self._desk.latest.rows_seen
            await _send(writer, Reply(status=self._desk.status(), more=True))
            await self._points(writer, self._desk.points(after))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._stopping.wait()
                return

    async def _points(self, writer: asyncio.StreamWriter, points: Iterable[PointState]) -> None:
        """Send points in several lines, the last of which says so."""
        held: tuple[PointState, ...] = ()
        for part in _parts(points):
            if held:
                await _send(writer, Reply(points=held, more=True))
                await asyncio.sleep(0)
            held = part
        await _send(writer, Reply(points=held))


def _parts(points: Iterable[PointState]) -> Iterator[tuple[PointState, ...]]:
    part: list[PointState] = []
    for point in points:
        part.append(point)
        if len(part) == POINTS_A_LINE:
            yield tuple(part)
            part.clear()
    if part:
        yield tuple(part)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    writer.write(encode(reply))
    async with asyncio.timeout(SEND_S):
        await writer.drain()


def _who(writer: asyncio.StreamWriter) -> str:
    """Name the user at the other end (the kernel says who it is)."""
    peer = writer.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _listen(path: Path) -> socket.socket:
    """Listen at `path`, mode 0660 from the first moment. Raises: OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o777 & ~MODE)
    try:
        listener.bind(str(path))
        listener.listen()  # whoever sees the file is not told that no agent runs
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    with contextlib.suppress(KeyError, OSError):  # no such group, or not ours to give
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    """Remove what a killed agent left; a socket that somebody serves stays. Raises: OSError."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise OSError(0, "another agent serves it", str(path))
