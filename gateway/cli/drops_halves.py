"""The evidence of a large fleet, read and judged by two processes at once.

Owns the second process: which gateways it takes, how its result comes back, and what happens when
it fails. A gateway's losses are judged by its own evidence alone, so that halves need nothing of
each other until they are compared.
"""

import multiprocessing
import os
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from gateway.centre.store.evidence_reader import Evidence, gateway_names
from gateway.correlation.analysis import Gathered, gather
from gateway.errors import GatewayError, StoreError

WORTH = 500
"""Gateways from which on a second process is worth its start."""


class Span(Protocol):
    """What is looked at (`drops_source.Asked`)."""

    @property
    def stores(self) -> tuple[Path, ...]: ...
    @property
    def from_ns(self) -> int: ...
    @property
    def to_ns(self) -> int: ...
    @property
    def now_ns(self) -> int: ...


Halves = tuple[frozenset[str] | None, Callable[[], Sequence[Gathered]]]


@contextmanager
def other_half(
    asked: Span, proofs_of: Container[str] | None, worth: int = WORTH
) -> Iterator[Halves]:
    """Let a second process take half of a large fleet; yield (the gateways that are left for this
    one, ``None``: all; what waits for the other half). Raises: StoreError."""
    names = gateway_names(asked.stores)
    if len(names) < worth or len(os.sched_getaffinity(0)) < 2:
        yield None, lambda: ()
        return
    context = multiprocessing.get_context("fork")  # before any store is open here
    receiving, sending = context.Pipe(duplex=False)
    theirs = frozenset(names[1::2])
    process = context.Process(target=_half, args=(sending, asked, theirs, proofs_of), daemon=True)
    process.start()
    sending.close()

    def wait() -> Sequence[Gathered]:
        try:
            found = receiving.recv()
        except EOFError:
            raise StoreError("the second process ended early; is there memory enough?") from None
        if isinstance(found, GatewayError):
            raise found
        assert isinstance(found, Gathered)
        return (found,)

    try:
        yield frozenset(names[::2]), wait
    finally:
        receiving.close()
        process.kill()
        process.join()


def _half(
    sending: Connection, asked: Span, names: frozenset[str], proofs_of: Container[str] | None
) -> None:
    try:
        with Evidence(asked.stores, asked.from_ns, asked.to_ns) as evidence:
            found: object = gather(
                evidence.gateways(names),
                evidence.nodes(),
                asked.from_ns,
                asked.to_ns,
                asked.now_ns,
                proofs_of,
            )
    except GatewayError as error:
        found = error
    sending.send(found)
