"""The demo's numbers: while it runs from the endpoints anybody may ask, at the end from the store.

Owns which metric is which number. Draws nothing and starts nothing.
"""

import json
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from gateway.cli.demo_count import Made, Stored, duplicated_readings, missing_readings
from gateway.cli.demo_site import GATEWAY_ID, Site
from gateway.cli.demo_view import DeviceLine, Snapshot
from gateway.cli.scrape import AnswerError, Scrape, get
from gateway.cli.virtual_devices import demo_devices

SENSOR_TO_STORE = "centre_sensor_to_store_seconds"
SHOWN = {
    "eastron-sdm630": (("voltage_l1", "V"), ("active_power", "W"), ("import_energy", "kWh")),
    "eastron-sdm120": (("voltage", "V"), ("active_power", "W"), ("import_energy", "kWh")),
    "peacefair-pzem-016": (("voltage", "V"), ("active_power", "W"), ("frequency", "Hz")),
    "xy-md02": (("temperature", "°C"), ("humidity", "%RH")),
    "abb-b23": (("voltage_l1", "V"), ("active_power", "W"), ("import_energy", "kWh")),
}
"""Profile → points on the screen, with their units."""
LOOK_BACK_S = 5
"""How old the latest value of a point may be."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. Latencies are ``None`` when nothing was stored.

    `missing` and `duplicated` come from counting the store (`demo_count`); `polls`, `bad_polls` and
    the latencies from the last scrape before the stop; `bus_…` from the virtual bus itself.
    """

    seconds: float
    readings_made: int
    stored: int
    missing: int
    duplicated: int
    bad_readings: int
    records_made: int
    records_stored: int
    polls: int
    bad_polls: int
    bus_requests: int
    bus_replies: int
    bus_utilisation: float
    latency_p50_s: float | None
    latency_p99_s: float | None
    sessions: int


def snapshot(site: Site, elapsed_s: float) -> Snapshot:
    """Ask the bus, the agent and the centre for their numbers. Raises: OSError, ChildError."""
    bus = site.bus_counts()
    agent = Scrape.fetch(site.agent_metrics)
    centre = Scrape.fetch(site.admin)
    assert site.agent is not None
    assert site.centre is not None
    round_trips = agent.total("gateway_uplink_heartbeat_rtt_seconds_count")
    round_trip_s = agent.total("gateway_uplink_heartbeat_rtt_seconds_sum")
    return Snapshot(
        elapsed_s=elapsed_s,
        connected=agent.total("gateway_uplink_connected") == 1,
        sessions=int(agent.total("gateway_uplink_sessions_total")),
        requests=bus.requests,
        replies=bus.replies,
        unanswered=bus.unanswered,
        bus_busy=bus.busy_s / bus.elapsed_s if bus.elapsed_s else 0.0,
        readings=int(agent.total("gateway_readings_total")),
        bad_readings=_bad(agent),
        sent_bytes=int(agent.total("gateway_uplink_bytes_total", direction="out")),
        acked_records=int(agent.total("gateway_uplink_acked_records_total")),
        stored_readings=int(centre.total("centre_readings_stored_total")),
        backlog_records=int(agent.total("gateway_spool_records")),
        latency_p50_s=centre.quantile(SENSOR_TO_STORE, 0.5),
        latency_p99_s=centre.quantile(SENSOR_TO_STORE, 0.99),
        round_trip_s=round_trip_s / round_trips if round_trips else None,
        agent_rss=site.agent.rss_bytes(),
        centre_rss=site.centre.rss_bytes(),
        devices=latest(site),
    )


def latest(site: Site) -> tuple[DeviceLine, ...]:
    """Return the devices with the latest values the centre has stored, through its HTTP API."""
    since = int(time.time()) - LOOK_BACK_S
    lines = []
    for device in demo_devices():
        values = []
        for point, unit in SHOWN[device.profile]:
            values.append((_latest(site, f"{device.name}.{point}", since), unit))
        lines.append(DeviceLine(device.name, device.profile, tuple(values)))
    return tuple(lines)


def _latest(site: Site, point: str, since: int) -> float | int | bool | str | None:
    """Return a point's latest value; ``None``: bad, none yet, or the gateway not known yet."""
    query = urlencode({"point": point, "from": since})
    try:
        found = json.loads(get(site.admin, f"/api/gateways/{GATEWAY_ID}/readings?{query}"))
    except AnswerError as error:
        if error.status != 404:
            raise
        return None
    readings = found["readings"]
    value: float | int | bool | str | None = readings[-1]["value"] if readings else None
    return value


def compare(site: Site, elapsed_s: float) -> Report:
    """Stop the agent, then the centre, and compare what one made with what the other stored."""
    agent = Scrape.fetch(site.agent_metrics)
    centre = Scrape.fetch(site.admin)
    busy = site.bus_counts()
    made = Made.read(site.stop_agent())
    bus = site.bus_counts()
    site.stop_centre()
    stored = Stored.count(site.store, GATEWAY_ID)
    return Report(
        seconds=round(elapsed_s, 1),
        readings_made=made.readings,
        stored=stored.readings,
        missing=missing_readings(made, stored),
        duplicated=duplicated_readings(made, stored),
        bad_readings=_bad(agent),
        records_made=made.records,
        records_stored=stored.seqs,
        polls=int(agent.total("gateway_polls_total")),
        bad_polls=int(agent.total("gateway_bad_polls_total")),
        bus_requests=bus.requests,
        bus_replies=bus.replies,
        bus_utilisation=round(busy.busy_s / busy.elapsed_s, 4) if busy.elapsed_s else 0.0,
        latency_p50_s=_rounded(centre.quantile(SENSOR_TO_STORE, 0.5)),
        latency_p99_s=_rounded(centre.quantile(SENSOR_TO_STORE, 0.99)),
        sessions=stored.sessions,
    )


def _bad(agent: Scrape) -> int:
    """Count bad readings, but for those of the host's own sensors that a machine does not have."""
    name = "gateway_bad_readings_total"
    return int(agent.total(name) - agent.total(name, cause="null_pattern"))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 5)
