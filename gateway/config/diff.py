"""What a changed config touches: which parts of the agent a reload restarts.

Owns the comparison of two settings; never restarts anything. Used at SIGHUP: the link, the spool
and the buses that did not change are left alone.
"""

from dataclasses import dataclass

from gateway.config.agent import AgentSettings


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs. Buses and serial sources go by name: `removed` stop, `added` start, `changed`
    do both.

    `spool` and `identity` (gateway id, state directory, control socket) need a restart of the
    daemon: a spool is opened once in its life.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    uplink: bool = False
    metrics: bool = False
    labels: bool = False
    log_level: bool = False
    spool: bool = False
    identity: bool = False

    def __bool__(self) -> bool:
        return self != Changes()

    @property
    def needs_restart(self) -> bool:
        """Whether something changed that a running daemon cannot take over."""
        return self.spool or self.identity

    def __str__(self) -> str:
        words = [f"bus {name} starts" for name in self.added]
        words += [f"bus {name} stops" for name in self.removed]
        words += [f"bus {name} restarts" for name in self.changed]
        words += ["the uplink reconnects"] if self.uplink or self.labels else []
        words += ["the metrics listener restarts"] if self.metrics else []
        words += ["the log level changes"] if self.log_level else []
        words += ["[spool] takes effect at the next start of the daemon"] if self.spool else []
        words += ["[gateway] takes effect at the next start of the daemon"] if self.identity else []
        return "; ".join(words) or "nothing changes"


def diff(old: AgentSettings, new: AgentSettings) -> Changes:
    """Compare the running settings with new ones. The order of buses does not matter."""
    before = {one.name: one for one in old.units}
    after = {one.name: one for one in new.units}
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(
            name for name, bus in after.items() if name in before and before[name] != bus
        ),
        uplink=old.uplink != new.uplink,
        metrics=old.metrics != new.metrics,
        labels=old.labels != new.labels,
        log_level=old.log_level != new.log_level,
        spool=old.spool != new.spool,
        identity=(old.gateway_id, old.state_directory, old.control)
        != (new.gateway_id, new.state_directory, new.control),
    )
