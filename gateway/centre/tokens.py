"""Who may come in by token: one file of hashes, one line a token.

Owns the file's form, its atomic rewriting and the look-up. A token is 256 random bits, so its plain
SHA-256 at rest is enough (nothing to guess); the token itself is printed once and kept nowhere.
Line: ``gateway-id sha256-hex created-ns``.
"""

import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from gateway.errors import ConfigError

GATEWAY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One token at rest. `key_id`: the first 8 hex digits of the hash, to name it by."""

    gateway_id: str
    digest: bytes
    created_ns: int

    @property
    def key_id(self) -> str:
        return self.digest.hex()[:8]


class TokenFile:
    """The file as last read; `refresh` reads it again when it changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._entries: dict[str, tuple[TokenEntry, ...]] = {}
        self._owners: dict[bytes, str] = {}

    def refresh(self) -> bool:
        """Read the file if it changed; return whether it had. A missing file holds no token.

        Raises: ConfigError; what was read before stays in force.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return False
        entries = read_tokens(self.path)
        table: dict[str, tuple[TokenEntry, ...]] = {}
        for entry in entries:
            table[entry.gateway_id] = (*table.get(entry.gateway_id, ()), entry)
        self._entries = table
        self._owners = {entry.digest: entry.gateway_id for entry in entries}
        self._stamp = stamp
        return True

    def match(self, gateway_id: str, token: str) -> bytes | None:
        """Return the hash of `token` if it is one of the gateway's."""
        digest = token_digest(token)
        found = None
        for entry in self._entries.get(gateway_id, ()):
            if compare_digest(entry.digest, digest):
                found = entry.digest
        return found

    def owner(self, token: str) -> str | None:
        """Return whose token it is."""
        return self._owners.get(token_digest(token))

    def holds(self, digest: bytes) -> bool:
        """Tell whether a token of this hash is still allowed."""
        return digest in self._owners


def token_digest(token: str) -> bytes:
    """Return what a token is kept as."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path) -> list[TokenEntry]:
    """Read the file. Raises: ConfigError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise ConfigError(
                    f"{path}: mode {mode & 0o777:o} lets others read it; chmod 600 {path}"
                )
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: over {_MAX_BYTES} bytes; this is not a token file")
    entries = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        try:
            digest, created = bytes.fromhex(fields[1]), int(fields[2])
        except (IndexError, ValueError):
            digest, created = b"", 0
        if len(digest) != 32 or not GATEWAY_ID.fullmatch(fields[0]):
            raise ConfigError(
                f"{path}:{number}: not a token line; remove it and add the token again with"
                " `gateway centre token add`"
            )
        entries.append(TokenEntry(fields[0], digest, created))
    return entries


def add_token(path: Path, gateway_id: str, now_ns: int) -> str:
    """Add a token for a gateway and return it: the only time it is seen. Raises: ConfigError."""
    if not GATEWAY_ID.fullmatch(gateway_id):
        raise ConfigError(
            f"gateway id {gateway_id!r}: give letters, digits, _ . - (at most 128), a letter or"
            " digit first"
        )
    token = secrets.token_urlsafe(32)
    with _locked(path):
        _write(path, [*read_tokens(path), TokenEntry(gateway_id, token_digest(token), now_ns)])
    return token


def revoke_tokens(path: Path, gateway_id: str, key_id: str | None = None) -> int:
    """Remove a gateway's tokens (or the one named); return how many. Raises: ConfigError."""
    with _locked(path):
        entries = read_tokens(path)
        kept = [
            entry
            for entry in entries
            if entry.gateway_id != gateway_id or (key_id is not None and entry.key_id != key_id)
        ]
        if len(kept) != len(entries):
            _write(path, kept)
    return len(entries) - len(kept)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep two commands from overwriting each other's change."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, entries: list[TokenEntry]) -> None:
    text = "# gateway id, SHA-256 of the token, created (ns since 1970)\n" + "".join(
        f"{entry.gateway_id} {entry.digest.hex()} {entry.created_ns}\n" for entry in entries
    )
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            status = path.stat()
            os.chown(name, status.st_uid, status.st_gid)
        else:
            status = path.parent.stat()
            if os.geteuid() == 0:
                os.chown(name, status.st_uid, status.st_gid)
        os.replace(name, path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # a token that was revoked stays revoked after a power cut
        finally:
            os.close(directory)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
