"""One read of a device whose points are not known yet, on the bus.

Owns what an error on the bus means to the walk (`gateway.polling.discovering`); runs in the bus
thread.
"""

from gateway.agent.bus import Bus
from gateway.errors import BadFrameError, DeviceExceptionError, NoReplyError, PortLostError
from gateway.polling.discovering import Discovering
from gateway.reading import Cause

PORT_PAUSE_S = 1.0
"""How long a walk rests while the port is gone."""
MAX_WAIT_S = 0.01
"""A device whose late answer must be waited out for longer than this lets the others go first."""
BUSY = (5, 6)
"""Acknowledge, server device busy (application protocol V1.1b3 §7)."""


def read_next(bus: Bus, unknown: Discovering) -> Cause | None:
    """Make the read that the walk wants; return why the walk failed, if it did."""
    began = bus.clock.now()
    request = unknown.request()
    clear_at = bus.clear_at(request)
    if clear_at > began + MAX_WAIT_S:
        unknown.pause(clear_at)
        return None
    try:
        reply = bus.transact(request, unknown.timeout_s)
    except PortLostError:
        unknown.pause(began + PORT_PAUSE_S)
        return None
    except (NoReplyError, BadFrameError) as error:
        cause = Cause.NO_REPLY if isinstance(error, NoReplyError) else Cause.BAD_FRAME
        now = bus.clock.now()
        return unknown.lost(cause, now, now - began)
    except DeviceExceptionError as error:
        now = bus.clock.now()
        if error.code in BUSY:
            return unknown.lost(Cause.BUSY, now, now - began)
        return unknown.refused(now)
    return unknown.given(reply.registers, bus.clock.now())
