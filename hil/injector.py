"""One interface for everything that breaks something.

Owns what an injector must say of itself. A fault is an object: it is bound to what it hits when it
is made, says what it needs of the machine, breaks it, and mends it. Real hardware (a relay in the
supply, an attenuator) plugs in here as another subclass.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from hil.capability import Capability, missing
from hil.ledger import Expected


class Scope(StrEnum):
    """How much a fault hits; it decides what may run beside it."""

    GATEWAY = "gateway"
    """Chosen gateways. Several may run at once on disjoint gateways."""
    PROXY = "proxy"
    """Everything behind one proxy; beside it only faults of the other proxy's gateways."""
    FLEET = "fleet"
    """A centre node, or all. Runs alone."""


class Injector(ABC):
    """One fault, once. `inject` and `clear` block until done and may be called from any thread;
    a fault with a history (a sag before the cut) plays it within `inject`.

    `name` is the bench's label. It goes to the ledger and the report, never to a gateway.
    """

    name: ClassVar[str]
    scope: ClassVar[Scope]
    needs: ClassVar[tuple[Capability, ...]] = ()

    def missing(self) -> str | None:
        """Return what the machine lacks for this fault, ``None`` when it can be injected."""
        reasons = [reason for need in self.needs if (reason := missing(need)) is not None]
        return "; ".join(reasons) or None

    @abstractmethod
    def expected(self) -> Expected:
        """Return what the analysis ought to find. Only the ledger may know."""

    @abstractmethod
    def inject(self) -> None:
        """Break it."""

    @abstractmethod
    def clear(self) -> None:
        """Mend it. Idempotent; also called when `inject` failed half-way."""
