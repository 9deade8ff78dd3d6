"""What each cause means in a sentence, and what to look at on site.

Owns the words for causes and for what held a gateway, and the advice for each. Error strings are
`signatures`' business.
"""

from gateway.correlation.verdict import Cause, HeldBy

MEANING = {
    Cause.CENTRE_DRAINED: "the centre said goodbye: a deploy or a stop on purpose",
    Cause.CENTRE_KILLED: "the centre's process died with its sessions",
    Cause.CENTRE_ERROR: "the centre closed it for an error of its own",
    Cause.CENTRE_REFUSED: "the centre sent it away",
    Cause.REPLACED: "the same gateway came in again",
    Cause.AGENT_STOPPED: "the daemon was stopped or restarted on purpose",
    Cause.CONFIG_CHANGED: "a reload of the config restarted the uplink",
    Cause.ORDERLY_REBOOT: "it was rebooted or switched off on purpose",
    Cause.BROWN_OUT: "its supply sagged and it reset",
    Cause.POWER_CUT: "its power was cut",
    Cause.WATCHDOG: "the hardware watchdog reset it",
    Cause.KERNEL_PANIC: "its kernel panicked",
    Cause.UNCLEAN_REBOOT: "it rebooted unasked, and the evidence says no more",
    Cause.AGENT_CRASHED: "the daemon died; the kernel went on",
    Cause.LINK_LOST: "its carrier, adapter or default route went away",
    Cause.RADIO: "its radio faded or was disconnected",
    Cause.PROXY_IDLE: "a proxy's idle time-out closed it",
    Cause.PROXY_RELOADED: "a proxy closed its connections in order and took them in again",
    Cause.PROXY_FAILED: "a proxy died",
    Cause.RESET_IN_PATH: "a box in the path reset the connection",
    Cause.PATH_DEAD: "packets vanished in the path without a word",
    Cause.UNKNOWN: "the evidence does not say",
}

CHECKS: dict[Cause, tuple[str, ...]] = {
    Cause.CENTRE_DRAINED: (),
    Cause.CENTRE_KILLED: (
        "the node's journal and the kernel log: out of memory, a crash, a kill",
        "`process_resident_memory_bytes` of the node in the hours before",
    ),
    Cause.CENTRE_ERROR: (
        "the node's journal at that time: the error is logged there",
        "free space and latency of the disk with the store",
    ),
    Cause.CENTRE_REFUSED: (
        "the node's journal: token revoked, another box with the same id, or a broken protocol",
    ),
    Cause.REPLACED: (),
    Cause.AGENT_STOPPED: (),
    Cause.CONFIG_CHANGED: (),
    Cause.ORDERLY_REBOOT: (),
    Cause.BROWN_OUT: (
        "the supply under load: converter, cable length and gauge, terminals, other consumers",
        "the voltage in the minutes before (`gateway status --history` on the gateway)",
        "on a Raspberry Pi 5: whether the supply is good for 5 A",
    ),
    Cause.POWER_CUT: (
        "fuse, breaker and upstream supply of the cabinet; who switched it",
        "other consumers on the same feeder",
    ),
    Cause.WATCHDOG: (
        "the kernel log of the boot before, if it is kept (pstore, persistent journal)",
        "temperature and memory of the gateway in the minutes before",
    ),
    Cause.KERNEL_PANIC: ("the dump in /var/lib/systemd/pstore on the gateway",),
    Cause.UNCLEAN_REBOOT: (
        "what its board can tell of a reset (`gateway doctor`), so that the next one has a cause",
        "the journal of the boot before, if it is persistent",
    ),
    Cause.AGENT_CRASHED: (
        "`journalctl -u gateway` around the time: signal, out of memory, a traceback",
        "memory of the gateway; whether the agent's version is common to those that fell",
    ),
    Cause.LINK_LOST: (
        "cable, connector, switch port, or the USB adapter and its power",
        "`carrier_down_count` of the interface, and what the switch says of its port",
    ),
    Cause.RADIO: (
        "level at the antenna, its cable and connector; what changed near it",
        "the access point or the operator's cell: did others on it fall too",
    ),
    Cause.PROXY_IDLE: (
        "the proxy's idle time-out (`proxy_read_timeout`, `timeout tunnel`): make it longer than"
        " twice `uplink.heartbeat_s`",
    ),
    Cause.PROXY_RELOADED: (),
    Cause.PROXY_FAILED: (
        "the proxy's own log and its service's status",
        "memory and file descriptors of the proxy's host",
    ),
    Cause.RESET_IN_PATH: (
        "firewalls and NAT boxes between gateway and centre: their rules and logs at that time",
        "the size and time-outs of their connection tables",
    ),
    Cause.PATH_DEAD: (
        "routers, NAT boxes and tunnels between gateway and centre",
        "NAT time-outs: `uplink.heartbeat_s` must be shorter",
        "which operator, access point or switch those that fell have in common",
    ),
    Cause.UNKNOWN: (
        "the journal of the gateway at that time (`journalctl -u gateway`), and its history",
        "whether others behind the same proxy, on the same feeder or operator fell too",
    ),
}

HELD_CHECKS: dict[HeldBy, tuple[str, ...]] = {
    HeldBy.NOTHING: (),
    HeldBy.DNS: ("names: the gateway's resolver, and whether the centre's name still exists",),
    HeldBy.CLOCK: ("the gateway's clock: battery of the clock, reach of its time servers",),
    HeldBy.CERTIFICATE: ("the certificate that the centre or its proxy shows: end date and names",),
    HeldBy.TLS: ("what answers on the port: TLS versions, a proxy that intercepts",),
    HeldBy.REFUSED: ("whether centre or proxy listened then; a firewall that rejects",),
    HeldBy.NO_ROUTE: ("address and default route of the gateway: DHCP, modem, interface",),
    HeldBy.UPGRADE: ("the proxy: its upstream, and that it passes `Upgrade` and `Connection` on",),
    HeldBy.CREDENTIALS: ("the gateway's token or certificate, and whether it was revoked",),
    HeldBy.OVERLOAD: ("load of the centre; what its limits are",),
    HeldBy.TIMEOUT: ("the path: a firewall that drops, heavy loss, a route that is gone",),
    HeldBy.DOWN: (),
    HeldBy.UNKNOWN: (),
}
