"""The tables of the spool, and how those of earlier agents become these."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

LAYOUT: Final = 3
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS identity (
    id INTEGER PRIMARY KEY CHECK (id = 1), server TEXT NOT NULL, host TEXT NOT NULL,
    key_id TEXT NOT NULL, name TEXT NOT NULL, epoch TEXT NOT NULL, next_sequence INTEGER NOT NULL,
    enrolled_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS baseline (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS window (
    id INTEGER PRIMARY KEY, samples INTEGER NOT NULL, body BLOB NOT NULL, queued_at REAL NOT NULL,
    measured TEXT NOT NULL DEFAULT '', coalesced INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS measurement (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, samples INTEGER NOT NULL, encoding TEXT NOT NULL,
    body BLOB NOT NULL, queued_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    samples INTEGER NOT NULL, encoding TEXT NOT NULL, body BLOB NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epoch (
    first_sequence INTEGER PRIMARY KEY, epoch TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY CHECK (id = 1), acknowledged INTEGER NOT NULL DEFAULT 0,
    last_acknowledged_at TEXT, last_error TEXT);
INSERT OR IGNORE INTO delivery (id) VALUES (1);
CREATE INDEX IF NOT EXISTS window_size ON window (samples, queued_at);
CREATE INDEX IF NOT EXISTS window_fine ON window (id, queued_at) WHERE coalesced = 0;
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""
_FROM_LAYOUT: Final = {
    1: "ALTER TABLE window ADD COLUMN measured TEXT NOT NULL DEFAULT '';",
    2: "ALTER TABLE window ADD COLUMN coalesced INTEGER NOT NULL DEFAULT 0;",
}
_CHECKPOINT_PAGES: Final = 250
_CACHE_KIB: Final = 256


class LayoutUnknown(Exception):
    """The spool was made by a later agent; the text is the number of its layout."""


def opened(path: Path) -> sqlite3.Connection:
    """A connection to the spool at `path`, which is made or brought up to date where necessary.

    Raises LayoutUnknown, sqlite3.Error and OSError.
    """
    if path.is_symlink():  # root opens it, too: to install and to uninstall
        raise OSError(errno.ELOOP, f"{os.strerror(errno.ELOOP)}: the spool must be a file")
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    layout = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if layout not in range(LAYOUT + 1):
        raise LayoutUnknown(layout)
    if layout < LAYOUT:
        older = "".join(_FROM_LAYOUT[made] for made in range(max(layout, 1), LAYOUT) if layout)
        connection.executescript(
            f"BEGIN IMMEDIATE; {older} {_TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;"
        )
        path.chmod(0o600)
    return connection
