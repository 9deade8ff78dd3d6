"""What `gateway drops` looks at: the stores, the series of connections, the report made of them.

Owns where the stores are found, which series is used, and the errors that say what to do when one
cannot be. The evidence always comes from the stores; the series from them or from Prometheus.
"""

import gc
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.centre.store.evidence_reader import Evidence
from gateway.cli.centre import load
from gateway.cli.drops_halves import other_half
from gateway.cli.drops_words import shown, when
from gateway.correlation.analysis import conclude, gather
from gateway.correlation.evidence import GatewayEvidence, Sample
from gateway.correlation.report import Report
from gateway.errors import ConfigError, StoreError
from gateway.process.prometheus import Prometheus
from gateway.process.prometheus_series import Connections, connections

SQLITE_MAGIC = b"SQLite format 3\x00"
STORE_HOLE_NS = 100_000_000_000
"""A centre writes a sample at least every minute."""
MAX_MISSING = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look at. `prometheus` ``None``: the series is the centre's own."""

    stores: tuple[Path, ...]
    from_ns: int
    to_ns: int
    now_ns: int
    prometheus: Prometheus | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """The series of connections. `hole_ns`: without a sample for longer nothing is known.
    `source`: where it comes from, in words; `notes`: what to know about it. `slack_ns`: how far
    from a fall of it the sessions' ends may lie."""

    samples: tuple[Sample, ...]
    source: str
    hole_ns: int
    notes: tuple[str, ...] = ()
    slack_ns: int = 2_000_000_000

    @property
    def since_ns(self) -> int | None:
        """Return the time of the first sample, ``None`` without any."""
        return self.samples[0].at_ns if self.samples else None


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at and what came of it."""

    asked: Asked
    report: Report
    series: Series

    @property
    def alarming(self) -> int:
        """Return how many incidents are not quiet."""
        return sum(not incident.quiet for incident in self.report.incidents)


def stores(given: Iterable[Path], config: Path, chosen: bool) -> tuple[Path, ...]:
    """Return the stores to read: those given, else the one of the centre's config file.

    `chosen`: the config was named on the command line. Raises: ConfigError, StoreError.
    """
    paths = tuple(given)
    if not paths:
        try:
            settings = load(config)
        except ConfigError as error:
            if chosen or config.exists():
                raise
            raise ConfigError(
                f"{config}: there is no centre's config here to say where the store is; "
                "name the store (--store FILE) or the config (--config FILE)"
            ) from error
        paths = (config.absolute().parent / settings.store.path,)
    for path in paths:
        _check(path)
    return paths


def _check(path: Path) -> None:
    """Say what is wrong with a store before SQLite says less. Raises: StoreError."""
    try:
        if path.is_dir():
            raise StoreError(f"{path}: is a directory; name the store's file in it (store.sqlite)")
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            magic = file.read(len(SQLITE_MAGIC))
    except FileNotFoundError:
        raise StoreError(
            f"{path}: there is no such store; has the centre run here? --store FILE names another"
        ) from None
    except PermissionError:
        raise StoreError(
            f"{path}: permission denied; use sudo, or be the centre's user (gateway-centre)"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if magic != SQLITE_MAGIC:
        raise StoreError(
            f"{path}: is no store of a centre (not an SQLite file); see store.path in its config"
        )


def look(asked: Asked, proofs: bool = True) -> Looked:
    """Read the evidence and the series and analyse them.

    `proofs`: keep each loss's lines of evidence, which a list does not show and a large fleet's
    report is mostly made of. Raises: StoreError, PrometheusError.
    """
    given = None if asked.prometheus is None else _from_prometheus(asked, asked.prometheus)
    span, proofs_of = (asked.from_ns, asked.to_ns), None if proofs else ()
    with _without_collector(), other_half(asked, proofs_of) as (own, second):
        with Evidence(asked.stores, *span) as evidence:
            series = given or _from_stores(evidence, len(asked.stores))
            gateways, nodes = evidence.gateways(own), evidence.nodes()
            first = gather(gateways, nodes, *span, asked.now_ns, proofs_of)
        report = conclude([first, *second()], series.samples, *span)
    return Looked(asked, report, series)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles: an analysis makes none, and of millions of values the
    search took a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def evidence_of(asked: Asked, names: Collection[str]) -> dict[str, GatewayEvidence]:
    """Return the evidence of some gateways once more, for their plots. Raises: StoreError."""
    if not names:
        return {}
    with Evidence(asked.stores, asked.from_ns, asked.to_ns) as evidence:
        return {one.gateway: one for one in evidence.gateways(frozenset(names))}


def _from_stores(evidence: Evidence, number: int) -> Series:
    samples = evidence.series()
    notes: tuple[str, ...] = ()
    if not samples:
        notes = (
            "no samples of ws_active_connections are stored for this time; losses are known from "
            "the sessions all the same",
        )
    where = "the centre's own samples" if number == 1 else f"the samples of {number} stores, summed"
    return Series(samples, where, STORE_HOLE_NS, notes)


def _from_prometheus(asked: Asked, prometheus: Prometheus) -> Series:
    found = connections(prometheus, asked.query, asked.from_ns, asked.to_ns)
    return Series(
        found.samples,
        _origin(prometheus, found),
        5 * found.step_ns,
        _notes(found),
        2_000_000_000 + max(found.step_ns, found.scrape_ns or 0),
    )


def _origin(prometheus: Prometheus, found: Connections) -> str:
    nodes = len(found.nodes)
    scrape = "" if found.scrape_ns is None else f", scraped every {found.scrape_ns / 1e9:g} s"
    return (
        f"{prometheus.name}, {nodes} {'series' if nodes == 1 else 'series, summed'}{scrape}, "
        f"read every {found.step_ns / 1e9:g} s"
    )


def _notes(found: Connections) -> tuple[str, ...]:
    notes = [f"Prometheus says: {text}" for text in found.warnings]
    if not found.counted:
        notes.append("without ws_connection_total beside it: a dip between two samples is not seen")
    if found.scrape_ns is None:
        notes.append("the scrape interval is not known")
    elif found.step_ns > found.scrape_ns:
        notes.append(
            f"read every {found.step_ns / 1e9:g} s because the time is long; a shorter dip is "
            "known from ws_connection_total only"
        )
    for one in found.missing[:MAX_MISSING]:
        until = "the end" if one.to_ns is None else when(one.to_ns)
        notes.append(
            f"{shown(one.node)} was not scraped from {when(one.from_ns)} to {until}: its "
            f"{one.active} connections count as lost"
        )
    if len(found.missing) > MAX_MISSING:
        notes.append(f"… and {len(found.missing) - MAX_MISSING} times more a node was not scraped")
    return tuple(notes)
