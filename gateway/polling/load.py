"""What a bus's settings ask of its wire: blocks, share of its time, readings a second.

Owns the estimate before anything is measured; the plan is `blocks`'s. Turnarounds are not known
yet, so a usual one is taken. Groups that meet share requests, which is left out of account.
"""

from dataclasses import dataclass

from gateway.config.agent import BusSettings
from gateway.modbus.rtu import timing
from gateway.polling.blocks import Block, Timing, items_of, plan, plan_cost
from gateway.polling.device import groups_of, limits_of

USUAL_TURNAROUND_S = 0.010


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """The points of a device that share an interval: their read blocks, and how many they are.

    `share`: of the bus's time, 1.0 is all of it.
    """

    device: str
    interval_s: float
    blocks: tuple[Block, ...]
    points: int
    share: float


@dataclass(frozen=True, slots=True)
class BusLoad:
    """`share`: of the bus's time, 1.0 is all of it. Requests and readings are per second.

    `wire`: the part of `share` that is characters and the silence after them: what the baud rate
    alone takes, however quickly devices answer.
    """

    blocks: int
    requests: float
    readings: float
    share: float
    wire: float
    groups: tuple[GroupLoad, ...] = ()


def bus_load(settings: BusSettings) -> BusLoad:
    """Estimate what polling a bus takes, each group of points planned by itself.

    Every device is taken to answer within `USUAL_TURNAROUND_S`, at once and well.
    """
    wire = timing(settings.baud, settings.character_s)
    usual = Timing(wire.character_s, wire.silence_s, USUAL_TURNAROUND_S)
    groups = []
    for device in settings.devices:
        specs = [point.spec for point in device.points]
        limits = limits_of(device)
        for interval_s, members in groups_of(device):
            blocks = plan(items_of(specs, limits, members), usual, limits).blocks
            share = plan_cost(blocks, usual) / interval_s
            groups.append(GroupLoad(device.name, interval_s, tuple(blocks), len(members), share))
    requests = sum(len(group.blocks) / group.interval_s for group in groups)
    share = sum(group.share for group in groups)
    return BusLoad(
        blocks=sum(len(group.blocks) for group in groups),
        requests=requests,
        readings=sum(group.points / group.interval_s for group in groups),
        share=share,
        wire=share - requests * USUAL_TURNAROUND_S,
        groups=tuple(groups),
    )
