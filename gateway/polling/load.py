"""What a bus's settings ask of its wire: blocks, share of its time, readings a second.

Owns the estimate before anything is measured; the plan is `blocks`'s. Turnarounds are not known
yet, so a usual one is taken. Groups that meet share requests, which is left out of account.
"""

from dataclasses import dataclass

from gateway.config.agent import BusSettings
from gateway.modbus.rtu import timing
from gateway.polling.blocks import Timing, items_of, plan, plan_cost
from gateway.polling.device import groups_of, limits_of

USUAL_TURNAROUND_S = 0.010


@dataclass(frozen=True, slots=True)
class BusLoad:
    """`share`: of the bus's time, 1.0 is all of it. Requests and readings are per second."""

    blocks: int
    requests: float
    readings: float
    share: float


def bus_load(settings: BusSettings) -> BusLoad:
    """Estimate what polling a bus takes, each group of points planned by itself.

    Every device is taken to answer within `USUAL_TURNAROUND_S`, at once and well.
    """
    wire = timing(settings.baud, settings.character_s)
    usual = Timing(wire.character_s, wire.silence_s, USUAL_TURNAROUND_S)
    blocks, requests, readings, share = 0, 0.0, 0.0, 0.0
    for device in settings.devices:
        specs = [point.spec for point in device.points]
        limits = limits_of(device)
        for interval_s, members in groups_of(device):
            planned = plan(items_of(specs, limits, members), usual, limits)
            blocks += len(planned.blocks)
            requests += len(planned.blocks) / interval_s
            readings += len(members) / interval_s
            share += plan_cost(planned.blocks, usual) / interval_s
    return BusLoad(blocks, requests, readings, share)
