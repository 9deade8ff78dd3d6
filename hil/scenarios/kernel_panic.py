"""A kernel panic: the dump that pstore kept over the reset decides."""

from gateway.correlation.verdict import Cause
from hil.bench import Bench
from hil.boards import Board
from hil.found import box_of, one_incident
from hil.injectors.boot import KernelPanic


def run(bench: Bench) -> None:
    """Panic."""
    box = box_of(bench, *Board)
    gateway = box.member.gateway
    found = one_incident(bench, KernelPanic(box))
    assert found.incident.cause is Cause.KERNEL_PANIC
    assert found.fields(gateway, "boot_classified")["class"] == "kernel_panic"
    found.says(gateway, "pstore")
