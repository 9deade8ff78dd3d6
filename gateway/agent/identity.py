"""Who this machine is: evidence that tells a cloned card from the gateway it was copied from.

Owns the choice of evidence; a card's own files (machine-id) are left out on purpose, because a
clone has them too.
"""

from hashlib import sha256

from gateway.process.clock import HostFiles

SERIAL_FILES = (
    "/proc/device-tree/serial-number",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/board_serial",
)


def instance(files: HostFiles) -> bytes:
    """Return 16 bytes that stay the same on this hardware: a hash of its serial numbers, else of
    its network adapters' addresses; empty when the machine shows neither."""
    evidence = [text for name in SERIAL_FILES if (text := files.read(name, 256))]
    if not evidence:
        evidence = sorted(_adapters(files))
    return sha256(b"\0".join(evidence)).digest()[:16] if evidence else b""


def _adapters(files: HostFiles) -> list[bytes]:
    """Return the addresses of adapters that are hardware and not made by software."""
    found = []
    root = files.path("/sys/class/net")
    try:
        names = [entry.name for entry in root.iterdir()]
    except OSError:
        return []
    for name in names:
        kind = files.read(f"/sys/class/net/{name}/addr_assign_type", 16)
        address = files.read(f"/sys/class/net/{name}/address", 64)
        # 0 = NET_ADDR_PERM, the address burnt into the adapter (linux/netdevice.h).
        if address and kind is not None and kind.strip() == b"0" and b"00:00:00" not in address:
            found.append(address.strip())
    return found
