"""The layout of the centre's SQLite file and how connections to it are opened.

Owns the tables and the pragmas; `docs/centre.md` describes them for readers, `docs/decisions/`
says why they are so. Never runs a query of its own besides making the file.
"""

import logging
import sqlite3
from pathlib import Path

from gateway.errors import StoreError

LOGGER = logging.getLogger(__name__)
APPLICATION_ID = 0x67775F31  # "gw_1"
VERSION = 3
MAX_VARIABLES = 10_000
"""Parameters of one statement; SQLite's own limit is 32,766."""
PAGE_SIZE = 4096
"""A live commit writes one page per stream it touches: small pages, less log. Measured."""
# AUTOINCREMENT: boots, epochs and streams are deleted, and a number must never mean another one.
_TABLES = """
CREATE TABLE gateway (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, instance BLOB NOT NULL,
    first_ns INTEGER NOT NULL, session INTEGER, facts TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE boot (
    id INTEGER PRIMARY KEY AUTOINCREMENT, gateway INTEGER NOT NULL, boot_id BLOB NOT NULL,
    first_ns INTEGER NOT NULL, offset_ns INTEGER, UNIQUE (gateway, boot_id)
) STRICT;
CREATE TABLE anchor (
    boot INTEGER NOT NULL, boottime_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    source INTEGER NOT NULL, error_us INTEGER NOT NULL, PRIMARY KEY (boot, boottime_ns, wall_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE epoch (
    id INTEGER PRIMARY KEY AUTOINCREMENT, gateway INTEGER NOT NULL, epoch INTEGER NOT NULL,
    boot INTEGER, first_ns INTEGER NOT NULL, known_next INTEGER NOT NULL DEFAULT 1,
    end_seq INTEGER, over INTEGER NOT NULL DEFAULT 0, promised BLOB, gone_ns INTEGER,
    UNIQUE (gateway, epoch)
) STRICT;
CREATE INDEX epoch_gateway ON epoch (gateway);
CREATE INDEX epoch_listed ON epoch (gateway) WHERE gone_ns IS NULL;
CREATE INDEX epoch_gone ON epoch (gone_ns) WHERE gone_ns IS NOT NULL;
CREATE INDEX epoch_boot ON epoch (boot);
CREATE TABLE ledger (
    epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE accounted (
    epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE sums (
    epoch INTEGER NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (epoch, chunk)
) STRICT, WITHOUT ROWID;
CREATE TABLE schema (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, body BLOB NOT NULL)
STRICT;
CREATE TABLE binding (
    epoch INTEGER NOT NULL, sid INTEGER NOT NULL, schema INTEGER NOT NULL,
    PRIMARY KEY (epoch, sid)
) STRICT, WITHOUT ROWID;
CREATE INDEX binding_schema ON binding (schema);
CREATE TABLE stream (
    id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, schema INTEGER NOT NULL,
    block INTEGER NOT NULL, span INTEGER NOT NULL DEFAULT 0, UNIQUE (epoch, schema, block)
) STRICT;
CREATE TABLE strip (
    stream INTEGER NOT NULL, t INTEGER NOT NULL, seq INTEGER NOT NULL, span INTEGER NOT NULL,
    rows INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stream, t, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, gateway INTEGER, epoch INTEGER, seq INTEGER, t INTEGER,
    received_ns INTEGER NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL
) STRICT;
CREATE INDEX event_gateway ON event (gateway, id);
CREATE INDEX event_received ON event (received_ns);
CREATE TABLE gap (
    id INTEGER PRIMARY KEY, gateway INTEGER NOT NULL, epoch INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER, reason INTEGER NOT NULL,
    t_from INTEGER, t_to INTEGER, next_epoch INTEGER, readings INTEGER NOT NULL,
    records INTEGER,
    received_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX gap_gateway ON gap (gateway, id);
CREATE INDEX gap_received ON gap (received_ns);
CREATE TABLE other (
    id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX other_received ON other (received_ns);
CREATE TABLE session (
    id INTEGER PRIMARY KEY, gateway INTEGER NOT NULL, node TEXT NOT NULL, boot INTEGER,
    epoch INTEGER, instance BLOB NOT NULL, remote TEXT NOT NULL, proxy TEXT NOT NULL,
    opened_ns INTEGER NOT NULL, closed_ns INTEGER, hello TEXT NOT NULL,
    side TEXT, cause TEXT, code INTEGER, reason TEXT, evidence TEXT
) STRICT;
CREATE INDEX session_gateway ON session (gateway, opened_ns);
CREATE INDEX session_closed ON session (closed_ns) WHERE closed_ns IS NOT NULL;
CREATE INDEX session_open ON session (node) WHERE closed_ns IS NULL;
CREATE TABLE node (name TEXT PRIMARY KEY, alive_ns INTEGER NOT NULL) STRICT;
"""
_SINCE_3 = """
CREATE TABLE connection (
    id INTEGER PRIMARY KEY, node TEXT NOT NULL, at_ns INTEGER NOT NULL, active INTEGER NOT NULL,
    opened INTEGER NOT NULL
) STRICT;
CREATE INDEX connection_at ON connection (at_ns);
CREATE TABLE latest (
    gateway INTEGER PRIMARY KEY, reading_ns INTEGER, host_ns INTEGER, volts REAL,
    undervoltage INTEGER, route TEXT, dbm REAL, backlog_ns INTEGER, backlog_records INTEGER,
    backlog_bytes INTEGER
) STRICT;
CREATE TABLE incident (
    identity TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, ended_ns INTEGER, cause TEXT NOT NULL,
    confidence TEXT NOT NULL, quiet INTEGER NOT NULL, lost INTEGER NOT NULL,
    pending INTEGER NOT NULL, counted INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL
) STRICT;
CREATE INDEX incident_started ON incident (started_ns);
CREATE TABLE loss (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, session INTEGER NOT NULL,
    incident TEXT NOT NULL, lost_ns INTEGER NOT NULL, returned_ns INTEGER, cause TEXT NOT NULL,
    pending INTEGER NOT NULL, counted INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL,
    UNIQUE (gateway, session)
) STRICT;
CREATE INDEX loss_incident ON loss (incident);
CREATE INDEX loss_lost ON loss (lost_ns);
CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE INDEX session_opened ON session (opened_ns);
"""
_STEPS = {2: _SINCE_3}
"""What takes a file of one version to the next; only ever additions."""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open (or make) the file for the writer thread. Raises: StoreError, sqlite3.Error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path, "rwc")
    try:
        _set_up(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path}: journal mode is {mode}, WAL is needed; use a local file system")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # `keeper` does it, off this thread
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA secure_delete = 0")  # Debian builds it in: twice the writes
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA temp_store = MEMORY")
    _make(connection, path)


def open_keeper(path: Path) -> sqlite3.Connection:
    """Open the file for checkpoints and for planning what retention deletes."""
    connection = _connect(path, "rw")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for queries only; also a copy that came without its log.

    Raises: StoreError, sqlite3.Error.
    """
    connection = _connect(path, "ro")
    try:
        connection.execute("PRAGMA query_only = 1")
        try:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            # A copy in a directory that cannot be written: nobody else has it open.
            if not path.is_file() or path.with_name(path.name + "-wal").exists():
                raise
            connection.close()
            connection = _connect(path, "ro&immutable=1")
            connection.execute("PRAGMA query_only = 1")
    except BaseException:
        connection.close()
        raise
    return connection


def reader_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a store that is read; an older one lacks tables. Raises: StoreError."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != APPLICATION_ID or not (version == VERSION or version in _STEPS):
        raise StoreError(
            f"{path}: not a store this version can read (application {found:#x}, version {version})"
        )
    return version


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=10.0, check_same_thread=False
    )


def _make(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0 and version == 0 and not _tables(connection):
            _run(connection, _TABLES + "".join(_STEPS.values()))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif found == APPLICATION_ID and version in _STEPS:
            for step in range(version, VERSION):
                _run(connection, _STEPS[step])
            connection.execute(f"PRAGMA user_version = {VERSION}")
            LOGGER.info("store brought to version=%d from=%d path=%s", VERSION, version, path)
        elif found != APPLICATION_ID or version != VERSION:
            raise StoreError(
                f"{path}: not a store of this version (application {found:#x}, version {version}, "
                f"expected {APPLICATION_ID:#x}, {VERSION}); give another store.path"
            )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements one by one: `executescript` would commit."""
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)


def _tables(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return count
