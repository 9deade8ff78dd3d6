"""A real agent's box as its injectors see it: its process, its host's files, its wire.

Owns the interface between the stack, which runs the boxes, and the faults. A box is what would
stand in a cabinet: power, an operating system with its files below `host_root`, a network.
"""

from pathlib import Path
from typing import Protocol

from hil.fleet import Member
from hil.machine import Machine


class Wire(Protocol):
    """The network between one gateway and the proxies (its namespace, nftables, its veth)."""

    def drop(self) -> None:
        """Swallow every packet both ways, without a word."""

    def reset(self) -> None:
        """Answer every TCP segment of either side with a reset."""

    def unplug(self) -> None:
        """Take the carrier away (the veth's other end goes down)."""

    def clear(self) -> None:
        """Pass everything again, with carrier."""


class Box(Protocol):
    """One real agent: ``python -m hil.agent_process --config FILE --host-root DIR``, started in a
    namespace of its own. `host_root` is the root of its `HostFiles` and of what else the process's
    seams read (clock, netlink, programs): raw evidence is written there, nothing else. `machine`
    writes it: the stack calls its `make` once before the first start, and puts its `config` (the
    `[host]` section) into the agent's file."""

    @property
    def member(self) -> Member:
        """Who it is."""

    @property
    def directory(self) -> Path:
        """Its files: config, state, spool, log."""

    @property
    def host_root(self) -> Path:
        """The root of its host's files."""

    @property
    def machine(self) -> Machine:
        """Its hardware."""

    @property
    def wire(self) -> Wire:
        """Its network."""

    @property
    def running(self) -> bool:
        """Whether the process lives."""

    def start(self) -> None:
        """Start the process; returns at once."""

    def kill(self) -> None:
        """SIGKILL the process and wait until it is gone. Its sockets close as a dead process's
        do; a box that loses its power calls `power_off`."""

    def stop(self) -> int:
        """SIGTERM, wait, and return the exit status."""

    def power_off(self) -> None:
        """End process and sockets without a packet: nobody without power says goodbye."""

    def power_on(self) -> None:
        """Give the network back and start the process: a boot, if `host_root` has a new boot id."""

    def connected(self) -> bool:
        """Ask the agent's own metrics whether it has a session."""
