"""Every limit of `gateway.v1` in one place. `docs/protocol.md` §Limits is normative.

A limit is kept by the side that sends and enforced by the side that receives: what is past it ends
in `RemoteProtocolError`. Sizes are bytes, lengths of text are bytes of UTF-8.
"""

DEFAULT_MESSAGE = 64 * 1024
"""Longest message before `Welcome`, and the least a side may name in `max_message`."""
MAX_MESSAGE = 1024 * 1024
"""The most a side may name in `max_message`."""
MAX_BODY = 1024 * 1024
"""Body of `Data` after decompression: more is a bomb."""
MAX_EPOCHS = 1024
"""Epochs in `Hello`; an agent that holds more lists the oldest and its current one."""
MAX_INTERVALS = 1024
"""Intervals of one list (an epoch in `Hello` or `Welcome`, one `Ack`, one `Nack`)."""
MAX_TEXT = 512
"""A text that people read: software, Bye, Nack, a value of `facts`."""
MAX_NAME = 128
"""Gateway id, source, point; the unit of a point takes `MAX_UNIT`."""
MAX_UNIT = 32
MAX_INSTANCE = 32
"""The instance (hash of the hardware's serial numbers)."""
BOOT_ID_SIZE = 16
DIGEST_SIZE = 8
MAX_PAIRS = 32
"""Pairs of `facts`, `ended`, `previous`, and fields of an event."""
MAX_ENCODINGS = 8
MAX_SCHEMAS = 256
"""Schemas in `Welcome`, and (epoch, sid) pairs announced in one session."""
MAX_SCHEMA_BODY = 48 * 1024
MAX_BLOCKS = 2048
"""Blocks of a schema."""
MAX_POINTS = 2048
"""Points of a block (a Modbus read gives at most 2000)."""
MAX_ARRAY = 2048
"""Elements of any array, and with 1024 levels of nesting what decoding may cost in memory."""
MAX_STRING_VALUE = 4096
"""A reading that is a text."""
MAX_SID = 0xFFFF
MAX_SEQ = (1 << 63) - 1
"""SQLite's and most languages' signed 64-bit integer."""
MAX_EPOCH = (1 << 64) - 1
MIN_WINDOW = 16 * 1024
MAX_WINDOW = 64 * 1024 * 1024
"""Bytes in flight that a centre may allow."""
MAX_HEARTBEAT_S = 3600.0
MAX_RETRY_AFTER_S = 86400.0
HELLO_TIMEOUT_S = 10.0
"""Seconds a centre waits for `Hello` after the upgrade."""
WELCOME_TIMEOUT_S = 20.0
"""Seconds an agent waits for `Welcome` after `Hello`."""
ACK_TIMEOUT_S = 60.0
"""Seconds without any `Ack` or `Nack` while records are in flight, after which an agent leaves."""
BYE_TIMEOUT_S = 5.0
"""Seconds a side that said `Bye` waits for the other's before it closes."""
POISON_LIMIT = 3
"""`Nack` POISON for the same records after which the agent gives them up (dead letter)."""
MAX_TICKS = (1 << 60) // 100_000
"""36 years in ticks: a source time beyond is none, and within it every sum with a clock reading is
still an i64 of ns, which stores and messages can hold."""
