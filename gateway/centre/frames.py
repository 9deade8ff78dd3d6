"""The few frames that the link itself writes and recognises (RFC 6455 §5.2).

Never a verdict: whatever is not plain is the `judge`'s.
"""

BINARY = 0x82
"""First byte of a whole binary message: FIN, opcode 2."""
MEDIUM = bytes((BINARY, 0x80 | 126))
"""How a whole masked binary message begins whose length stands in the next two bytes."""
ORDINARY = frozenset({0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A})
"""First bytes without reserved bits, of known opcodes, control frames whole (§5.5)."""
_PING = 0x89
_SHORT_HEADS = tuple(bytes((BINARY, length)) for length in range(126))


def binary_frame(message: bytes) -> bytes:
    """Return a server's frame (unmasked, §5.1) of a whole message."""
    length = len(message)
    if length < 126:
        return _SHORT_HEADS[length] + message
    if length < 65536:
        return bytes((BINARY, 126, length >> 8, length & 0xFF)) + message
    return bytes((BINARY, 127)) + length.to_bytes(8, "big") + message


def ping_frame(payload: bytes) -> bytes:
    """Return a ping of at most 125 bytes."""
    return bytes((_PING, len(payload))) + payload
