"""The centre's own samples of its connections: small, honest after a kill, summed over nodes."""

from pathlib import Path

from gateway.centre.store import layout, series
from gateway.centre.store.series import NodeSample, Sampler, summed, thinned
from gateway.correlation.evidence import Sample
from tests.centre.history import History, at

S = 1_000_000_000


def test_a_sample_is_written_when_it_changes_and_once_a_minute() -> None:
    """An hour without change is 61 rows, a change is there at its second."""
    sampler = Sampler()
    written = [n for n in range(3601) if sampler.see(n * S, 5, 7)]
    assert len(written) == 61 and written[:3] == [0, 60, 120]
    assert sampler.see(3601 * S, 4, 7)
    assert sampler.see(3602 * S, 4, 8)
    assert not sampler.see(3603 * S, 4, 8)
    assert sampler.see(1 * S, 4, 8), "the clock was set back: the series goes on"


def test_nodes_are_summed_second_by_second() -> None:
    """Two nodes' levels add up; what both opened adds up too."""
    one = [NodeSample(1 * S, 3, 3), NodeSample(4 * S, 2, 3)]
    two = [NodeSample(2 * S, 5, 50), NodeSample(4 * S, 6, 52)]
    assert summed([one, two], 0) == [
        Sample(1 * S, 3, 0),
        Sample(2 * S, 8, 0),
        Sample(4 * S, 8, 2),
    ]


def test_a_node_that_starts_again_goes_on_counting() -> None:
    """`ws_connection_total` begins at nought after a restart; the sum does not fall."""
    samples = [NodeSample(0, 2, 10), NodeSample(S, 0, 10), NodeSample(2 * S, 0, 0)]
    samples += [NodeSample(3 * S, 2, 2)]
    assert [s.opened_total for s in summed([samples], 0)] == [0, 0, 0, 2]


def test_what_was_before_the_span_is_its_beginning() -> None:
    """The level at the start is known from the sample before."""
    found = summed([[NodeSample(1 * S, 4, 4), NodeSample(9 * S, 3, 4)]], 5 * S)
    assert found == [Sample(5 * S, 4, 0), Sample(9 * S, 3, 0)]


def _read(path: Path, low: float, high: float) -> list[tuple[float, int]]:
    db = layout.open_reader(path)
    try:
        nodes = series.read_nodes(db, at(low), at(high))
        return [((s.at_ns - at(0)) / 1e9, s.active) for s in summed(nodes.values(), at(low))]
    finally:
        db.close()


def test_a_killed_node_falls_to_nought_where_it_was_last_alive(tmp_path: Path) -> None:
    """The next start writes the zero, at the last sign of life, not at the start."""
    killed = History(tmp_path / "s.sqlite")
    killed.count(0, 7, 7)
    killed.alive(40)
    killed.close()  # no zero: as after kill -9
    again = History(tmp_path / "s.sqlite", start=79)
    again.count(80, 0, 0)
    again.count(81, 6, 6)
    again.close()
    assert _read(tmp_path / "s.sqlite", 0, 90) == [(0.0, 7), (41.0, 0), (80.0, 0), (81.0, 6)]


def test_a_node_that_never_came_back_counts_as_nothing(tmp_path: Path) -> None:
    """Its last sample is not taken for its level for ever; nor is a silence in between."""
    node = History(tmp_path / "s.sqlite")
    node.count(0, 7, 7)
    node.alive(30)
    node.close()
    assert _read(tmp_path / "s.sqlite", 0, 100) == [(0.0, 7)]
    assert _read(tmp_path / "s.sqlite", 0, 200) == [(0.0, 7), (31.0, 0)]
    node = History(tmp_path / "s.sqlite", start=499)
    node.count(500, 3, 0)
    node.close()
    assert (31.0, 0) in _read(tmp_path / "s.sqlite", 0, 510)


def test_thinning_keeps_every_dip_and_the_end() -> None:
    """A dip of one second in six hours is still there."""
    samples = [Sample(n * S, 3 if n == 12_345 else 100, n) for n in range(21_600)]
    found = thinned(samples, 500)
    assert len(found) <= 502
    assert samples[12_345] in found and found[-1] == samples[-1]
    assert thinned(samples[:500], 500) == tuple(samples[:500])


def test_a_long_span_is_read_thinned(tmp_path: Path) -> None:
    """The database keeps the lowest and the last of each stretch; no silence is made up."""
    node = History(tmp_path / "s.sqlite")
    for second in range(0, 4000, 7):
        node.count(second, 3 if second == 1400 else 100 + second % 2, second)
    node.alive(3990)
    node.close()
    db = layout.open_reader(tmp_path / "s.sqlite")
    try:
        (found,) = series.read_nodes(db, at(0), at(4000), 400 * S).values()
        whole = series.read_nodes(db, at(0), at(4000))
    finally:
        db.close()
    assert len(found) <= 22
    assert NodeSample(at(1400), 3, 1400) in found
    assert found[-1] == whole["a"][-1] and min(one.active for one in found) == 3
    assert [one for one in found if one.active == 0] == []
