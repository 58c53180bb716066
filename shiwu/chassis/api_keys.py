"""API keys: a public id and 256 random bits, of which only the SHA-256 is kept (docs/decisions/0019). Free of grpc."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shiwu.chassis.errors import UnauthenticatedError
from shiwu.chassis.files import WatchedFiles

_KEY = re.compile(r"[a-z]{1,20}_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
_log = structlog.get_logger()


class KeyFileError(ValueError):
    """The file of keys cannot be read, or does not hold what it should."""


class KeyRecord(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    """The public part; logs and audit name the key by it."""
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[str, ...] = Field(min_length=1)
    owner: str = ""
    """Whose it is, for people."""
    create_time: AwareDatetime
    expire_time: AwareDatetime | None = None
    rate: float | None = Field(None, gt=0)
    """Calls per second; this and the next two, where unset, are the server's defaults."""
    burst: int | None = Field(None, ge=1)
    concurrency: int | None = Field(None, ge=1)


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[KeyRecord, ...] = ()


def looks_like_a_key(text: str) -> bool:
    """Whether `text` has the form of a key: "name_id_secret"."""
    return _KEY.fullmatch(text) is not None


class KeyRing:
    """The keys of a file, read again when it changes. A file that has become bad leaves the old keys in force."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError."""
        self._path = path
        self._watched = WatchedFiles([path])
        self._records = {record.key_id: record for record in read_keys(path)}

    def find(self, key: str) -> KeyRecord:
        """The record of a valid key. Raises UnauthenticatedError, which does not tell an unknown from a wrong one."""
        self._reload()
        found = _KEY.fullmatch(key)
        record = self._records.get(found[1]) if found else None
        digest = _digest(found[2] if found else "")
        if not hmac.compare_digest(digest, record.secret_sha256 if record else _digest("-")) or record is None:
            msg = "the API key is not valid"
            raise UnauthenticatedError(msg)
        if record.expire_time is not None and record.expire_time <= datetime.now(UTC):
            msg = f"the API key {record.key_id} has expired"
            raise UnauthenticatedError(msg)
        return record

    def _reload(self) -> None:
        if not self._watched.changed():
            return
        try:
            records = read_keys(self._path)
        except KeyFileError as error:
            _log.error("the API keys stay as they were", problem=str(error))
            return
        self._records = {record.key_id: record for record in records}
        _log.info("API keys read", keys=len(records))


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """Raises KeyFileError."""
    try:
        return _KeyFile.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        msg = f"the file of API keys {path} cannot be read: {error.strerror}"
        raise KeyFileError(msg) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        msg = f"{path} is no file of API keys: {where}: {first['msg']}"
        raise KeyFileError(msg) from error


def create_key(
    path: Path,
    *,
    prefix: str,
    scopes: Sequence[str],
    owner: str = "",
    days: float | None = None,
    rate: float | None = None,
    burst: int | None = None,
    concurrency: int | None = None,
) -> tuple[str, KeyRecord]:
    """Adds a key to the file, which is made if there is none; returns the key itself, which is kept nowhere.

    prefix: lower-case letters that tell people and secret scanners whose key it is. days: until it expires.
    Raises KeyFileError.
    """
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    now = datetime.now(UTC)
    record = KeyRecord(
        key_id=key_id,
        secret_sha256=_digest(secret),
        scopes=tuple(scopes),
        owner=owner,
        create_time=now,
        expire_time=None if days is None else now + timedelta(days=days),
        rate=rate,
        burst=burst,
        concurrency=concurrency,
    )
    with _locked(path.parent):
        _write(path, (*(read_keys(path) if path.exists() else ()), record))
    return f"{prefix}_{key_id}_{secret}", record


def revoke_key(path: Path, key_id: str) -> None:
    """Takes a key out of the file; servers that read it refuse the key within about a second. Raises KeyFileError."""
    with _locked(path.parent):
        records = read_keys(path)
        kept = tuple(record for record in records if record.key_id != key_id)
        if len(kept) == len(records):
            msg = f"{path} holds no key {key_id}"
            raise KeyFileError(msg)
        _write(path, kept)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two commands at once would each write the file without the other's key."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        msg = f"the folder {folder} cannot be used: {error.strerror}"
        raise KeyFileError(msg) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, records: Sequence[KeyRecord]) -> None:
    """Whole or not at all, and for its owner's eyes only (mkstemp's mode is 0600)."""
    text = _KeyFile(keys=tuple(records)).model_dump_json(indent=1, exclude_none=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
