"""Making a `Hello` that keeps the limits, however much an agent holds.

Owns what is left out when not everything fits.
"""

from dataclasses import replace

from gateway.wire import codec, limits
from gateway.wire.message import Hello, Interval


def fit(hello: Hello) -> tuple[Hello, bytes]:
    """Return a `Hello` within the limits and its bytes.

    Too many intervals are merged at the end (claiming too much is safe: GAP records tell what is
    gone); of too many epochs, the oldest and the current one are listed.
    """
    epochs = tuple(replace(state, available=_merged(state.available)) for state in hello.epochs)
    keep = limits.MAX_EPOCHS
    while True:
        if len(epochs) > keep:
            hello = replace(hello, epochs=(*epochs[: keep - 1], epochs[-1]), complete=False)
        else:
            hello = replace(hello, epochs=epochs)
        data = codec.encode(hello)
        if len(data) <= limits.DEFAULT_MESSAGE or keep <= 1:
            return hello, codec.encode_checked(hello, limits.DEFAULT_MESSAGE)
        keep = min(keep, len(epochs)) // 2


def _merged(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    keep = limits.MAX_INTERVALS
    if len(intervals) <= keep:
        return intervals
    return (*intervals[: keep - 1], (intervals[keep - 1][0], intervals[-1][1]))
