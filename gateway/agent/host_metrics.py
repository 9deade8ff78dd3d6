"""The host's metrics: what the last look saw, and what was counted.

Owns their names and that what is unknown is absent, never 0. Described in `docs/operations.md`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.agent.boots import Boots, Instant
from gateway.agent.metrics import Sample as MetricSample
from gateway.event import EventKind
from gateway.host.alarm import UnderVoltage
from gateway.host.reboot import RebootClass
from gateway.host.sample import Sample
from gateway.host.supply import SupplySource
from gateway.host.trouble import Change


@dataclass(slots=True)
class HostCounters:
    """What was counted since the start; `lowest_v` is the lowest plausible supply seen."""

    looks: int = 0
    lowest_v: float | None = None
    changes: dict[EventKind, int] = field(default_factory=dict)

    def seen(self, sample: Sample) -> None:
        """Count a look."""
        self.looks += 1
        if sample.volts is not None and not sample.suspect:
            self.lowest_v = (
                sample.volts if self.lowest_v is None else min(self.lowest_v, sample.volts)
            )

    def changed(self, change: Change) -> None:
        """Count a change, told or held back."""
        self.changes[change.kind] = self.changes.get(change.kind, 0) + 1


def samples(
    last: Sample | None,
    source: SupplySource | None,
    counters: HostCounters,
    boots: Boots,
    at: Instant,
) -> Iterator[MetricSample]:
    """Return what is known now."""
    yield MetricSample(
        "gateway_boot_time_seconds", "Wall time at which the kernel started", at.boot_wall_ns / 1e9
    )
    yield from _reboots(boots)
    if last is not None:
        if last.volts is not None and source is not None:
            yield MetricSample(
                "gateway_supply_volts",
                "Supply voltage",
                last.volts,
                labels=(("source", source.name),),
            )
        if counters.lowest_v is not None:
            text = "Lowest supply voltage since the agent started"
            yield MetricSample("gateway_supply_min_volts", text, counters.lowest_v)
        if last.undervoltage is not UnderVoltage.UNKNOWN:
            yield MetricSample(
                "gateway_supply_undervoltage",
                "1 while the supply is too low; absent where nothing can tell",
                float(last.undervoltage is UnderVoltage.UNDER),
            )
        if last.celsius is not None:
            yield MetricSample("gateway_cpu_celsius", "Processor temperature", last.celsius)
        if last.throttled is not None:
            text = "1 while the processor is slowed down"
            yield MetricSample("gateway_cpu_throttled", text, float(last.throttled))
        yield from _links(last)
    for kind, name, text in _COUNTED:
        count = counters.changes.get(kind, 0)
        yield MetricSample(name, text, count, counter=True)


_COUNTED = (
    (
        EventKind.SUPPLY_LOW,
        "gateway_supply_undervoltage_events",
        "Times the supply became too low",
    ),
    (EventKind.CARRIER_LOST, "gateway_carrier_losses", "Times an interface lost its carrier"),
    (EventKind.RADIO_LOST, "gateway_radio_losses", "Times a radio stopped hearing"),
)


def _reboots(boots: Boots) -> Iterator[MetricSample]:
    # Every class, also at 0: `increase()` does not see a series that begins at 1.
    for kind in RebootClass:
        yield MetricSample(
            "gateway_reboots",
            "Starts by class, since the state directory was made; counted once the class is final",
            boots.totals.get(kind.value, 0),
            counter=True,
            labels=(("class", kind.value),),
        )
    if boots.verdict is not None:
        labels = (
            ("class", boots.verdict.reboot.value),
            ("confidence", boots.verdict.confidence.value),
        )
        text = "Why this start happened"
        yield MetricSample("gateway_last_reboot_info", text, 1.0, labels=labels)


def _links(last: Sample) -> Iterator[MetricSample]:
    for link in last.links:
        labels = (("device", link.name),)
        state = link.state
        if state.carrier is not None:
            text = "1 while the interface has a carrier"
            yield MetricSample("gateway_link_carrier", text, float(state.carrier), labels=labels)
        if state.carrier_downs is not None:
            text = "Carrier losses the kernel counted"
            yield MetricSample(
                "gateway_link_carrier_down", text, state.carrier_downs, counter=True, labels=labels
            )
        if state.errors is not None:
            text = "Receive and send errors"
            yield MetricSample(
                "gateway_link_errors", text, state.errors, counter=True, labels=labels
            )
    for link in last.links:
        level = link.level
        if level is None:
            continue
        for kind, dbm in (("rssi", level.rssi_dbm), ("rsrp", level.rsrp_dbm)):
            if dbm is not None:
                yield MetricSample(
                    "gateway_radio_signal_dbm",
                    "Radio level",
                    dbm,
                    labels=(("device", link.name), ("kind", kind)),
                )
        for name, text, value in (
            ("gateway_radio_rsrq_db", "LTE reference signal quality", level.rsrq_db),
            ("gateway_radio_sinr_db", "Signal to noise and interference", level.snr_db),
        ):
            if value is not None:
                yield MetricSample(name, text, value, labels=(("device", link.name),))
