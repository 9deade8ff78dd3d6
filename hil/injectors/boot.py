"""Ends of a boot, and of the daemon alone: reboot, watchdog, panic, kill -9.

Owns the order of what a real machine would do and leave behind: systemd's words while it stops,
reset registers, the watchdog's status, pstore, the note of ExecStopPost=.
"""

import time

from gateway.correlation.verdict import Cause
from hil.boards import Reset
from hil.boxes import Box
from hil.capability import Capability
from hil.injector import Injector, Scope
from hil.ledger import Expected

RESTART_S = 2.0
"""Until systemd starts a dead daemon again (RestartSec=)."""
DOWN_S = 5.0
"""From the hang or the stop to the start of the agent: a centre's time-out may be longer, and then
it first hears of it from the next session."""


class OrderlyReboot(Injector):
    """`systemctl reboot`."""

    name = "orderly_reboot"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._down_at: float | None = None

    def expected(self) -> Expected:
        """On purpose."""
        return Expected((self._box.member.gateway,), Cause.ORDERLY_REBOOT)

    def inject(self) -> None:
        """Let systemd say it stops, and stop the daemon."""
        self._box.machine.stopping("reboot")
        self._down_at = time.monotonic()
        self._box.stop()

    def clear(self) -> None:
        """Boot: a warm reset, file systems clean."""
        if self._down_at is not None:
            time.sleep(max(0.0, self._down_at + DOWN_S - time.monotonic()))
            self._down_at = None
            self._box.machine.boot(Reset.WARM, clean=True)
            self._box.start()


class WatchdogReset(Injector):
    """The machine hangs, the hardware watchdog resets it. Only of a board that says so."""

    name = "watchdog"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._down = False

    def expected(self) -> Expected:
        """A watchdog that said so."""
        return Expected((self._box.member.gateway,), Cause.WATCHDOG)

    def inject(self) -> None:
        """Stop everything, as a hung kernel does: not a packet more. The reset comes by itself."""
        self._down = True
        self._box.power_off()
        time.sleep(DOWN_S)
        self.clear()

    def clear(self) -> None:
        """Boot as this reset leaves the board."""
        if self._down:
            self._down = False
            self.come_back()
            self._box.power_on()

    def come_back(self) -> None:
        """Leave the evidence of this reset."""
        self._box.machine.boot(Reset.WATCHDOG, clean=False)


class KernelPanic(WatchdogReset):
    """The kernel panics, writes its last words to pstore and reboots."""

    name = "kernel_panic"

    def expected(self) -> Expected:
        """A panic."""
        return Expected((self._box.member.gateway,), Cause.KERNEL_PANIC)

    def come_back(self) -> None:
        """Leave the evidence of this reset."""
        self._box.machine.boot(Reset.WARM, clean=False)
        self._box.machine.crash_dump("Fatal exception in interrupt")


class AgentKilled(Injector):
    """kill -9 of the daemon; the kernel and systemd go on."""

    name = "agent_killed"
    scope = Scope.GATEWAY
    needs = (Capability.EVIDENCE, Capability.NETNS)

    def __init__(self, box: Box) -> None:
        self._box = box
        self._dead_at: float | None = None

    def expected(self) -> Expected:
        """A daemon that died."""
        return Expected((self._box.member.gateway,), Cause.AGENT_CRASHED)

    def inject(self) -> None:
        """Kill it; ExecStopPost= notes how it ended."""
        self._dead_at = time.monotonic()
        self._box.kill()
        self._box.machine.exited("signal", "killed", "KILL")

    def clear(self) -> None:
        """Start it again, as systemd does."""
        if self._dead_at is not None:
            time.sleep(max(0.0, self._dead_at + RESTART_S - time.monotonic()))
            self._dead_at = None
            self._box.start()
