"""A million fuzzed bytes through each format: bounded, survived, nothing invented, nothing lost."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from gateway.reading import Cause, Row
from tests.rig import seed_of
from tests.serial.sources import EXAMPLES, Example

FUZZ_BYTES = 1_000_000
SEGMENT = 4000
MEMORY = 256 * 1024
"""What a source may take beside what is handed to it: longest line, slice, rows not drained."""


def segments(example: Example, rng: random.Random) -> Iterator[bytes]:
    """Yield pieces of fuzz without end: noise of several kinds, and damaged lines."""
    marks = (example.start or b"{") + example.end + b",;*!$/."
    # Digits between delimiters are a valid line where there is no check sum.
    marks += b"0123456789" if example.checked else b"\x01\xff"
    while True:
        size = rng.randrange(1, SEGMENT)
        line = example.line(rng.randrange(1, 100))
        kind = rng.randrange(7)
        if kind == 0:
            yield rng.randbytes(size)
        elif kind == 1:
            yield bytes(rng.choices(range(32, 127), k=size))
        elif kind == 2:
            yield bytes(rng.choices(marks, k=size))
        elif kind == 3:
            yield bytes([rng.randrange(256)]) * size
        elif kind == 4:
            yield flipped(line, rng, any_bit=example.checked)
        elif kind == 5:
            yield line[: len(line) // 2]
        else:
            # Without a check sum a line cut inside its last number cannot be told from a whole one.
            cut = rng.randrange(1, len(line) - 3) if example.checked else 3
            yield line[:cut] + example.end


def flipped(line: bytes, rng: random.Random, any_bit: bool) -> bytes:
    """Flip one bit of the text, the highest where no check sum would find another; never the bit
    of upper and lower case, which does not change what a check sum's digits say. The start stays:
    a line that ran into another would pass eight bits of check sum once in 256 times."""
    at = rng.randrange(1, len(line) - 2)
    bit = 1 << rng.choice((0, 1, 2, 3, 4, 6, 7)) if any_bit else 0x80
    return line[:at] + bytes([line[at] ^ bit]) + line[at + 1 :]


def stream(example: Example, rng: random.Random) -> tuple[bytes, list[tuple[float, ...]]]:
    """Return fuzz with valid lines in between, and the values of those lines in order."""
    parts: list[bytes] = [example.end]
    planted: list[tuple[float, ...]] = []
    fuzz = segments(example, rng)
    total = 0
    while total < FUZZ_BYTES:
        piece = next(fuzz)
        total += len(piece)
        parts.append(piece)
        if rng.random() < (0.7 if len(example.line(0)) < 500 else 0.2):
            if not example.start:
                parts.append(example.end)  # noise directly in front of such a line is part of it
            for _ in range(rng.randrange(1, 4)):
                planted.append(example.values(len(planted)))
                parts.append(example.line(len(planted) - 1))
    return b"".join(parts), planted


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_a_million_fuzzed_bytes(example: Example) -> None:
    """Exactly the planted lines become readings, in bounded memory, whatever lies between them."""
    _, rng = seed_of(f"serial fuzz {example.name}")
    data, planted = stream(example, rng)
    source = example.source()
    good: list[Row] = []
    bad = at = 0
    now = 0.0
    tracemalloc.start()
    try:
        while at < len(data):
            size = rng.choice((1, 3, 16, 64, 512, 4096))
            now += size * 1e-4
            source.receive(data[at : at + size], now)
            source.handle_timer(now)
            at += size
            held, _ = tracemalloc.get_traced_memory()
            for row in source.rows():
                if row.causes is None:
                    good.append(row)
                else:
                    assert set(row.causes) <= {Cause.FORMAT, Cause.NULL_PATTERN, Cause.NONE}
                    bad += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [row.values for row in good] == planted
    times = [row.source_time_ns for row in good]
    assert times == sorted(times)
    kept = 400 * len(good)
    assert peak < MEMORY + kept, f"{peak} bytes at most, {held} at the end"
    faults = dict(source.counters.faults)
    assert source.counters.crashes == 0
    assert source.counters.bytes == len(example.lead) + len(data)
    print(
        f"{example.name}: bytes={len(data)} lines={len(good)}/{len(planted)} doubtful={bad} "
        f"faults={faults} peak={peak}"
    )
