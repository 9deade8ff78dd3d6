"""The HTTP API of the admin listener: gateways, their readings and events, incidents.

Owns parameters, limits and the form of the answers (`docs/centre.md`). Queries run in threads on
read-only connections; readings are streamed page by page. Never writes.
"""

import asyncio
import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from gateway.centre import incident_answers
from gateway.centre.store import queries
from gateway.centre.store.layout import open_reader
from gateway.centre.store.queries import Span, UnknownGatewayError
from gateway.centre.store.readings import StoredReading, readings
from gateway.process.clock import Clock

DEFAULT_LIMIT = 1000
DEFAULT_READINGS = 100_000
MAX_READINGS = 5_000_000
CONCURRENT = 4
"""Queries at the same time; more wait."""
_EDGE_NS = (1 << 63) - 1
_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
MAX_SAMPLES = 100_000
"""Samples of one answer of /api/connections; of more, the lowest and last of each stretch."""
_COLUMNS = ("time", "value", "quality", "cause", "time_source", "time_ns", "source_time_ns")
_Query = Callable[[sqlite3.Connection], list[dict[str, object]]]


class Api:
    """The routes. `path`: the store's file."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._room = asyncio.Semaphore(CONCURRENT)

    def routes(self) -> list[web.RouteDef]:
        """Return what the admin listener serves below /api."""
        one = "/api/gateways/{id}"
        return [
            web.get("/api/gateways", self._gateways),
            web.get(f"{one}/points", self._points),
            web.get(f"{one}/readings", self._readings),
            web.get(f"{one}/events", self._span_of(queries.events)),
            web.get(f"{one}/sessions", self._span_of(queries.sessions)),
            web.get(f"{one}/gaps", self._span_of(queries.gaps)),
            web.get("/api/incidents", self._incidents),
            web.get("/api/incidents/{id}", self._incident),
            web.get("/api/connections", self._connections),
        ]

    async def _gateways(self, request: web.Request) -> web.Response:
        limit, after = _limit(request, DEFAULT_LIMIT, queries.MAX_ROWS), request.query.get("after")
        return await self._rows(lambda db: queries.gateways(db, after or "", limit))

    async def _incidents(self, request: web.Request) -> web.Response:
        span = self._span(request, _DAY_NS)
        limit = _limit(request, DEFAULT_LIMIT, queries.MAX_ROWS)
        return await self._rows(lambda db: incident_answers.listed(db, span, limit))

    async def _incident(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        found: list[dict[str, object]] = []

        def look(db: sqlite3.Connection) -> list[dict[str, object]]:
            found.extend(incident_answers.one(db, name))
            return found

        await self._rows(look)
        if not found:
            return _problem(404, f"incident {name}: unknown here")
        return web.json_response(found[0], dumps=dumps)

    async def _connections(self, request: web.Request) -> web.Response:
        span = self._span(request, _HOUR_NS)
        limit = _limit(request, MAX_SAMPLES, MAX_SAMPLES)
        return await self._rows(lambda db: incident_answers.connections(db, span, limit))

    async def _points(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return await self._rows(lambda db: queries.points(db, name))

    def _span_of(
        self,
        query: Callable[[sqlite3.Connection, str, Span, int], list[dict[str, object]]],
    ) -> Callable[[web.Request], "asyncio.Future[web.Response]"]:
        async def handler(request: web.Request) -> web.Response:
            name, span = request.match_info["id"], self._span(request, 0)
            limit = _limit(request, DEFAULT_LIMIT, queries.MAX_ROWS)
            return await self._rows(lambda db: query(db, name, span, limit))

        return handler  # type: ignore[return-value]

    async def _rows(self, query: _Query) -> web.Response:
        def run() -> list[dict[str, object]]:
            db = open_reader(self._path)
            try:
                return query(db)
            finally:
                db.close()

        async with self._room:
            try:
                rows = await asyncio.to_thread(run)
            except UnknownGatewayError as error:
                return _problem(404, str(error))
        return web.json_response(rows, dumps=dumps)

    # Readings

    async def _readings(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        point, form = request.query.get("point", ""), request.query.get("format", "json")
        if not point or form not in ("json", "csv"):
            return _problem(400, "give point=device.point, and format=json or csv")
        span = self._span(request, _HOUR_NS)
        limit = _limit(request, DEFAULT_READINGS, MAX_READINGS)
        async with self._room:
            db = await asyncio.to_thread(open_reader, self._path)
            try:
                pages = readings(db, name, point, span)
                try:
                    first = await asyncio.to_thread(_next, pages)
                except UnknownGatewayError as error:
                    return _problem(404, str(error))
                return await self._stream(request, form, limit, first, pages)
            finally:
                await asyncio.to_thread(db.close)

    async def _stream(
        self,
        request: web.Request,
        form: str,
        limit: int,
        page: list[StoredReading],
        pages: Iterator[list[StoredReading]],
    ) -> web.StreamResponse:
        """Write page by page; the client's reading sets the pace."""
        kind = "text/csv" if form == "csv" else "application/json"
        response = web.StreamResponse(headers={"Content-Type": f"{kind}; charset=utf-8"})
        await response.prepare(request)
        head = ",".join(_COLUMNS) + "\r\n" if form == "csv" else '{"readings":['
        await response.write(head.encode())
        written, following = 0, None
        while page:
            part = page[: limit - written]
            text = await asyncio.to_thread(_csv if form == "csv" else _json, part)
            await response.write(b"," + text if form == "json" and written else text)
            written += len(part)
            if len(part) < len(page):
                following = page[len(part)].time_ns
                break
            page = await asyncio.to_thread(_next, pages)
            if written >= limit and page:
                following = page[0].time_ns
                break
        if form == "json":
            await response.write(f'],"next_ns":{json.dumps(following)}}}'.encode())
        await response.write_eof()
        return response

    def _span(self, request: web.Request, default_ns: int) -> Span:
        now = self._clock.wall_ns()
        end = _instant(request, "to", now)
        return Span(_instant(request, "from", end - default_ns if default_ns else 0), end)


def _next(pages: Iterator[list[StoredReading]]) -> list[StoredReading]:
    return next(pages, [])


def _json(page: list[StoredReading]) -> bytes:
    texts = (dumps({"time": iso(reading.time_ns), **asdict(reading)}) for reading in page)
    return ",".join(texts).encode()


def _csv(page: list[StoredReading]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for r in page:
        value = "" if r.value is None else str(r.value).lower() if r.value is True else r.value
        value = "false" if r.value is False else value
        writer.writerow(
            (iso(r.time_ns), value, r.quality, r.cause, r.time_source, r.time_ns, r.source_time_ns)
        )
    return text.getvalue().encode()


def iso(time_ns: int) -> str:
    """Return an instant as RFC 3339 UTC, to 100 µs; ``""`` outside the years it can say."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 100_000:04d}Z"


def dumps(value: object) -> str:
    """Return strict JSON: a number that is not finite becomes null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _limit(request: web.Request, default: int, most: int) -> int:
    text = request.query.get("limit", str(default))
    if not text.isdecimal() or len(text) > 12 or not 1 <= int(text) <= most:
        raise _bad(f"limit={text[:20]}: give a whole number from 1 to {most}")
    return int(text)


def _instant(request: web.Request, key: str, default: int) -> int:
    """Read RFC 3339, or seconds or nanoseconds since 1970; what SQLite cannot hold is the edge."""
    text = request.query.get(key)
    if text is None:
        return default
    try:
        if text.lstrip("-").isdecimal() and len(text) < 20:
            number = int(text)
            return _in_reach(number if abs(number) > 10**12 else number * 1_000_000_000)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad(
            f"{key}={text[:40]}: give 2026-01-31T12:00:00Z, or seconds or ns since 1970"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _in_reach(int(moment.timestamp() * 1_000_000) * 1000)


def _in_reach(instant: int) -> int:
    return max(-_EDGE_NS, min(instant, _EDGE_NS))


def _bad(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=dumps({"error": text}), content_type="application/json")


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
