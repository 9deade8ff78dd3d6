"""What the writer remembers of an epoch and its streams.

Owns the values only; `intake` fills them, `verdicts` judges by them. There are as many as gateways
have epochs of late: no dictionary each.
"""

from gateway.centre.store.have import Have
from gateway.centre.store.looks import Layout
from gateway.centre.store.sums import Sums
from gateway.wire.message import Interval

OPEN, OVER, WAITING = 0, 1, 2
"""`epoch.over`: the gateway's current epoch; nothing more is expected; the agent still has some."""


def signed(epoch: int) -> int:
    """Return a u64 as SQLite keeps it."""
    return epoch - (1 << 64) if epoch >= 1 << 63 else epoch


def unsigned(epoch: int) -> int:
    """Return what `signed` was given."""
    return epoch & (1 << 64) - 1


class Stream:
    """A stream. `host`: where the host's own values stand in it, ``None``: it has none."""

    __slots__ = ("host", "pk", "span")

    def __init__(self, pk: int, span: int, host: Layout | None) -> None:
        self.pk = pk
        self.span = span
        self.host = host


class EpochLedger:
    """What the writer remembers of an epoch."""

    __slots__ = (
        "boot",
        "end_seq",
        "gateway",
        "have",
        "over",
        "pk",
        "promised",
        "sids",
        "streams",
        "sums",
        "withdrawn",
    )

    def __init__(self, pk: int, gateway: int, boot: int | None) -> None:
        self.pk = pk
        self.gateway = gateway
        self.boot = boot
        self.end_seq: int | None = None
        self.over = OPEN
        self.promised: list[Interval] = []
        """What the agent said it can still send."""
        self.have = Have()
        self.sids: dict[int, int] = {}
        self.streams: dict[tuple[int, int], Stream] = {}
        self.sums = Sums()
        self.withdrawn: list[tuple[str, int]] = []
        """Our own gaps of it that do not stand any more, until it is judged again."""
