"""Blocks of a living device that never answer: who they are, and what asking again may cost.

Owns the breaker of single blocks, as `health` owns the device's: a block that was silent for
`SILENT_POLLS` polls while the device answered is searched for the guilty register
(`Poll.unanswered`) and what stays silent is *demoted*: never read along with others, and probed at
growing intervals that keep its cost below `PROBE_SHARE` of the bus's time. Never asks a clock.
"""

from collections.abc import Container
from dataclasses import dataclass

from gateway.polling.blocks import Block, Range
from gateway.polling.health import PROBE_GROWTH, PROBE_SHARE
from gateway.polling.poll import Poll

SILENT_POLLS = 3
"""Polls in a row without a reply after which a block is searched: one more than it takes to demote
a device, so that a short outage of the device is not blamed on a block."""
MAX_ROUND_S = 600.0
"""Every demoted block is probed about this often in the end, unless `PROBE_SHARE` forbids."""
COUNTED = 256
"""Blocks whose silences are counted."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a poll showed: ranges that are demoted now, and ranges that answer again."""

    down: tuple[Range, ...] = ()
    up: tuple[Range, ...] = ()


class SilentBlocks:
    """The blocks of one device that do not answer although the device does."""

    def __init__(self) -> None:
        self._counts: dict[Range, int] = {}
        self._demoted: dict[Range, Block] = {}
        """The one whose last probe is longest ago comes first."""
        self._probe_at = 0.0
        self._interval_s = 0.0

    @property
    def ranges(self) -> frozenset[Range]:
        """The demoted ranges."""
        return frozenset(self._demoted)

    def count(self, block: Block) -> int:
        """Return how many polls in a row a block has been silent."""
        return self._counts.get(block.range, 0)

    def is_mute(self, block: Block, poll: Poll) -> bool:
        """Say whether the silence of `block` just now is its own and not the device's.

        After an outage of the device (`poll.probing`) a block that was silent before and is again,
        while others answer, needs no third poll.
        """
        return poll.answered and self.count(block) >= (1 if poll.probing else SILENT_POLLS - 1)

    def to_probe(self, points: Container[int], now: float) -> Block | None:
        """Return the demoted block to ask again in a poll of `points`, if it is time."""
        if now < self._probe_at:
            return None
        for block in self._demoted.values():
            if any(point in points for item in block.items for point in item.points):
                return block
        return None

    def learn(self, poll: Poll, now: float) -> Found:
        """Take over what a finished poll showed."""
        for settled in (*poll.accepted, *poll.searched):
            self._counts.pop(settled, None)
        if len(self._counts) > COUNTED:
            self._counts.clear()
        for block in poll.silent_blocks:
            self._counts[block.range] = self.count(block) + 1
        probed = poll.probed.range if poll.probed is not None else None
        if probed is not None:
            del self._demoted[probed]
        for block in poll.mute:
            self._demoted[block.range] = block
        if not poll.mute:
            return Found(up=(probed,)) if probed is not None else Found()
        down = tuple(block.range for block in poll.mute if block.range != probed)
        self._probe_later(now, poll.silent_s, found=bool(down))
        return Found(down)

    def _probe_later(self, now: float, cost_s: float, *, found: bool) -> None:
        """Set the next probe; a search that found something goes on as soon as it may."""
        grown_s = 0.0 if found else self._interval_s * PROBE_GROWTH
        most_s = MAX_ROUND_S / len(self._demoted)
        self._interval_s = max(cost_s / PROBE_SHARE, min(grown_s, most_s))
        self._probe_at = now + self._interval_s
