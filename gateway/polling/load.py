"""What a bus's settings ask of its wire: blocks, share of its time, readings a second.

Owns the estimate before anything is measured; the plan is `blocks`'s. Turnarounds are not known
yet, so a usual one is taken; groups that meet share requests, so the load is an upper bound.
"""

from dataclasses import dataclass

from gateway.config.agent import BusSettings
from gateway.modbus.point import Table
from gateway.polling.blocks import Limits, Timing, items_of, plan, plan_cost

USUAL_TURNAROUND_S = 0.010
FIXED_SILENCE_S = 0.00175
"""t3.5 above 19200 baud (Modbus over serial line V1.02 §2.5.1.1)."""


def silence_s(settings: BusSettings) -> float:
    """Return t3.5 of a bus."""
    return 3.5 * settings.character_s if settings.baud <= 19200 else FIXED_SILENCE_S


@dataclass(frozen=True, slots=True)
class BusLoad:
    """`share`: of the bus's time, 1.0 is all of it. Requests and readings are per second."""

    blocks: int
    requests: float
    readings: float
    share: float


def bus_load(settings: BusSettings) -> BusLoad:
    """Estimate what polling a bus takes, each group of points planned by itself."""
    timing = Timing(settings.character_s, silence_s(settings), USUAL_TURNAROUND_S)
    blocks, requests, readings, share = 0, 0.0, 0.0, 0.0
    for device in settings.devices:
        specs = [point.spec for point in device.points]
        limits = Limits(
            device.max_registers,
            frozenset((Table(table), first, last) for table, first, last in device.holes),
        )
        for interval in sorted({point.poll_interval_s for point in device.points}):
            members = [i for i, p in enumerate(device.points) if p.poll_interval_s == interval]
            planned = plan(items_of(specs, limits, members), timing, limits)
            blocks += len(planned.blocks)
            requests += len(planned.blocks) / interval
            readings += len(members) / interval
            share += plan_cost(planned.blocks, timing) / interval
    return BusLoad(blocks, requests, readings, share)
