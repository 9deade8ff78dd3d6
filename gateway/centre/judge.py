"""websockets' `ServerProtocol` as the judge of whatever is unusual on a link.

Owns how it is made for us and what its verdict means as an ending. Never a rule of RFC 6455: those
are websockets'.
"""

import logging
from collections.abc import Sequence

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.centre.ending import EndCause, Ending, Side, closed_by_agent, cut
from gateway.wire.message import SUBPROTOCOL

_QUIET = logging.getLogger("gateway.centre.websockets")
_QUIET.setLevel(logging.WARNING)


class StrictProtocol(ServerProtocol):
    """`ServerProtocol` with room for the fragments of one message."""

    def __init__(self, state: State, max_message: int, *, deflate: bool = False) -> None:
        super().__init__(
            extensions=[ServerPerMessageDeflateFactory()] if deflate else None,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=_select,
            state=state,
            max_size=max_message,
            logger=_QUIET,
        )
        self._parts = bytearray()
        self.assembling = False
        """Whether a fragmented message has begun and not ended."""
        self.assembled = 0
        """Bytes of it so far."""

    def assemble(self, frame: Frame) -> bytes | None:
        """Return the message that ends with this data frame (RFC 6455 §5.4), if one does.

        Its size is bounded by `max_size`, its order by `ServerProtocol`.
        """
        self._parts += frame.data
        self.assembling = not frame.fin
        if self.assembling:
            self.assembled += len(frame.data)
            return None
        message = bytes(self._parts)
        self._parts.clear()
        self.assembled = 0
        return message


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose `gateway.v1` or none: the rejection is ours to word."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def ending_of(strict: ServerProtocol) -> Ending:
    """Say who ended the connection, from what `ServerProtocol` exchanged."""
    received, sent = strict.close_rcvd, strict.close_sent
    if received is not None and strict.close_rcvd_then_sent and sent is received:
        return closed_by_agent(int(received.code), received.reason)
    if sent is None:
        return cut(None)
    cause = EndCause.TOO_BIG if sent.code == 1009 else EndCause.PROTOCOL_ERROR
    return Ending(Side.CENTRE, cause, int(sent.code), sent.reason)
