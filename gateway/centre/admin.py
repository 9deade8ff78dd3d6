"""The admin listener: metrics, health and the API. On a loopback address unless told otherwise.

Owns what is healthy and what is ready: healthy is a loop that answers, ready a centre that takes
gateways and whose store can write.
"""

from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.centre.api import Api

GatewaySample = tuple[str, dict[str, float]]


class Admin:
    """One per process. `ready` returns why not, or ``""``."""

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Callable[[], str],
        api: Api | None,
        gateways: Callable[[], Iterable[GatewaySample]] | None,
    ) -> None:
        self._registry = registry
        self._ready = ready
        self._gateways = gateways
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/-/healthy", self._healthy),
                web.get("/-/ready", self._readiness),
            ]
        )
        if gateways is not None:
            app.add_routes([web.get("/metrics/gateways", self._per_gateway)])
        if api is not None:
            app.add_routes(api.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def open(self, listen: str, offset: int = 0) -> int:
        """Listen on ``host:port`` (`offset`: number of the process); return the port."""
        host, _, port = listen.rpartition(":")
        await self._runner.setup()
        number = int(port) + offset if int(port) else 0
        await web.TCPSite(self._runner, host.strip("[]"), number).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        """Stop answering."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        why = self._ready()
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200)

    async def _per_gateway(self, _: web.Request) -> web.Response:
        """Per-gateway series; ids come from credentials, so no client can invent one."""
        assert self._gateways is not None
        samples = list(self._gateways())
        lines = []
        for name, text in GATEWAY_METRICS.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [
                f'{name}{{gateway="{gateway}"}} {values[name]}' for gateway, values in samples
            ]
        body = "\n".join([*lines, ""])
        return web.Response(text=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


GATEWAY_METRICS = {
    "centre_gateway_connected_since_seconds": "Start of the session, seconds since 1970",
    "centre_gateway_last_message_seconds": "Last message, seconds since 1970",
    "centre_gateway_round_trip_seconds": "Last measured ping round trip, -1 none",
    "centre_gateway_received_messages": "Messages of this session",
}
"""What /metrics/gateways shows of every connected gateway."""
