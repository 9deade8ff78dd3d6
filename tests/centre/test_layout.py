"""The file of an earlier version is brought up to this one, with all that is in it."""

import sqlite3
from pathlib import Path

import pytest

from gateway.centre.store import layout
from gateway.errors import StoreError
from tests.centre.history import Box, History, at


def _tables(path: Path) -> set[str]:
    db = layout.open_reader(path)
    try:
        return {row[0] for row in db.execute("SELECT name FROM sqlite_schema")}
    finally:
        db.close()


def _made_by_version_2(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(layout._TABLES)
    db.execute("INSERT INTO gateway (name, instance, first_ns) VALUES ('old', x'00', 5)")
    db.execute(f"PRAGMA application_id = {layout.APPLICATION_ID}")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()


def test_a_store_of_version_2_gets_what_is_new_and_keeps_the_rest(tmp_path: Path) -> None:
    """The upgrade is the start of the new centre, nothing else."""
    _made_by_version_2(tmp_path / "old.sqlite")
    node = History(tmp_path / "old.sqlite")
    node.come(Box("new"), 0)
    node.count(1, 1, 1)
    node.close()
    layout.open_writer(tmp_path / "fresh.sqlite").close()
    assert _tables(tmp_path / "old.sqlite") == _tables(tmp_path / "fresh.sqlite")
    db = layout.open_reader(tmp_path / "old.sqlite")
    assert db.execute("SELECT name, first_ns FROM gateway ORDER BY id").fetchall() == [
        ("old", 5),
        ("new", at(0)),
    ]
    assert db.execute("PRAGMA user_version").fetchone() == (layout.VERSION,)
    db.close()


def test_a_reader_takes_version_2_and_no_later_one(tmp_path: Path) -> None:
    """`gateway drops` reads the store of a centre that was not brought up to date yet."""
    path = tmp_path / "old.sqlite"
    _made_by_version_2(path)
    db = layout.open_reader(path)
    assert layout.reader_version(db, path) == 2
    db.close()
    changed = sqlite3.connect(path)
    changed.execute("PRAGMA user_version = 99")
    changed.commit()
    changed.close()
    db = layout.open_reader(path)
    with pytest.raises(StoreError, match="version 99"):
        layout.reader_version(db, path)
    db.close()
