"""Silent blocks of a living device: when a silence is the block's own, what a probe may cost."""

from gateway.modbus.point import Table
from gateway.polling.blocks import Block, Item, block_of
from gateway.polling.health import PROBE_GROWTH, PROBE_SHARE
from gateway.polling.poll import Poll
from gateway.polling.silence import COUNTED, MAX_ROUND_S, SILENT_POLLS, SilentBlocks


def block(*addresses: int) -> Block:
    """Make a block of single registers; each point has its address as index."""
    return block_of([Item(Table.INPUT, one, one, (one,)) for one in addresses])


def poll(*, answered: bool = True, silent_s: float = 0.0, probed: Block | None = None) -> Poll:
    return Poll((0,), answered=answered, silent_s=silent_s, probed=probed)


def demoted(*blocks: Block, silent_s: float = 1.0, now: float = 0.0) -> SilentBlocks:
    silent = SilentBlocks()
    one = poll(silent_s=silent_s)
    one.mute += blocks
    assert silent.learn(one, now).down == tuple(b.range for b in blocks)
    return silent


def test_three_polls_make_a_silence_the_blocks_own() -> None:
    """A block is mute at its third silent poll, if the device answered in that one; an answer in
    between starts the count anew, and an outage of the device shortens it."""
    silent, quiet = SilentBlocks(), block(1, 2)
    for number in range(SILENT_POLLS - 1):
        assert not silent.is_mute(quiet, poll()) and silent.count(quiet) == number
        one = poll()
        one.silent_blocks.append(quiet)
        assert silent.learn(one, 0.0).down == ()
    assert silent.is_mute(quiet, poll())
    assert not silent.is_mute(quiet, poll(answered=False))
    given = poll()
    given.accepted.append(quiet.range)
    silent.learn(given, 0.0)
    assert silent.count(quiet) == 0
    after_outage = Poll((0,), answered=True, probing=True)
    assert not silent.is_mute(quiet, after_outage)
    silent.learn(one, 0.0)
    assert silent.is_mute(quiet, after_outage)
    searched = poll()
    searched.searched.append(quiet.range)
    silent.learn(searched, 0.0)
    assert silent.count(quiet) == 0


def test_probes_keep_to_their_share_and_grow() -> None:
    """The first probe waits until the search is paid for; each in vain waits longer, up to ten
    minutes."""
    quiet = block(7)
    silent = demoted(quiet, silent_s=1.0)
    assert silent.ranges == {quiet.range}
    now, interval_s = 0.0, 1.0 / PROBE_SHARE
    for _ in range(20):
        assert silent.to_probe({7}, now + interval_s - 0.01) is None
        now += interval_s
        assert silent.to_probe({7}, now) is quiet
        one = poll(silent_s=0.5, probed=quiet)
        one.mute.append(quiet)
        found = silent.learn(one, now)
        assert not found.down and not found.up
        interval_s = max(0.5 / PROBE_SHARE, min(MAX_ROUND_S, interval_s * PROBE_GROWTH))
    assert interval_s == MAX_ROUND_S


def test_blocks_take_turns() -> None:
    """Of several demoted blocks the one probed longest ago is next, among those of the points
    polled; all share the device's 2 %."""
    first, second, other = block(1), block(5), block(9)
    silent = demoted(first, second, other)
    now = 50.0
    assert silent.to_probe({5, 9}, now) is second
    assert silent.to_probe({3}, now) is None
    for expected in (first, second, other, first):
        assert silent.to_probe({1, 5, 9}, now) is expected
        one = poll(silent_s=0.5, probed=expected)
        one.mute.append(expected)
        silent.learn(one, now)
        assert silent.to_probe({1, 5, 9}, now + 24.9) is None
        now += MAX_ROUND_S / 3


def test_search_goes_on_and_ends() -> None:
    """A probe that finds a smaller part silent tells of it and goes on as soon as it is paid for; a
    block that answers is up."""
    whole, part = block(1, 2, 3, 4), block(3, 4)
    silent = demoted(whole)
    one = poll(silent_s=0.2, probed=whole)
    one.mute.append(part)
    assert silent.learn(one, 100.0).down == (part.range,)
    assert silent.ranges == {part.range}
    assert silent.to_probe({3}, 100.0 + 0.2 / PROBE_SHARE) is part
    found = silent.learn(poll(probed=part), 200.0)
    assert found.up == (part.range,) and not silent.ranges


def test_counts_are_bounded() -> None:
    """However many different blocks are silent, a bounded number is counted."""
    silent = SilentBlocks()
    for number in range(5 * COUNTED):
        one = poll()
        one.silent_blocks.append(block(number))
        silent.learn(one, 0.0)
        assert len(silent._counts) <= COUNTED + 1
