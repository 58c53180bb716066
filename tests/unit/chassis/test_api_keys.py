"""The file of API keys."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from shiwu.chassis.api_keys import KeyFileError, KeyRing, create_key, looks_like_a_key, read_keys, revoke_key
from shiwu.chassis.errors import UnauthenticatedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def create(path: Path, **options: object) -> str:
    return create_key(path, prefix="shiwu", scopes=("scan",), **options)[0]


def test_the_secret_is_kept_nowhere(path: Path) -> None:
    key = create(path, owner="me", rate=5.0)
    prefix, key_id, secret = key.split("_")
    assert (prefix, len(bytes.fromhex(secret)) * 8) == ("shiwu", 256)
    assert looks_like_a_key(key)
    text = path.read_text()
    assert key_id in text
    assert secret not in text
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    [record] = read_keys(path)
    assert KeyRing(path).find(key) == record
    assert (record.owner, record.rate, record.burst) == ("me", 5.0, None)


def test_keys_that_are_made_at_the_same_time_are_all_there(path: Path) -> None:
    threads = [threading.Thread(target=create, args=(path,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.key_id for record in read_keys(path)}) == 16


def test_only_the_key_that_is_named_is_revoked(path: Path) -> None:
    keys = [create(path) for _ in range(3)]
    revoke_key(path, keys[1].split("_")[1])
    ring = KeyRing(path)
    for kept in (keys[0], keys[2]):
        assert ring.find(kept)
    with pytest.raises(UnauthenticatedError):
        ring.find(keys[1])
    with pytest.raises(KeyFileError, match="holds no key"):
        revoke_key(path, keys[1].split("_")[1])
    assert oct(path.stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is no file of API keys"),
        (b"\xff", "is no file of API keys"),
        (b'{"keys": [{}]}', "keys.0.key_id: Field required"),
        (b'{"kyes": []}', "kyes: Extra inputs are not permitted"),
    ],
)
def test_a_bad_file_is_named(path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyFileError, match=problem):
        KeyRing(path)


def test_a_bad_file_is_not_written_over(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(KeyFileError):
        create(path)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"the folder .* cannot be used"):
        create(tmp_path / "none" / "keys.json")


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"burst": 0}, {"concurrency": -1}])
def test_limits_are_positive(path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        create(path, **options)
    assert not path.exists()


def test_times_in_the_file_have_a_zone(path: Path) -> None:
    create(path)
    content = json.loads(path.read_text())
    content["keys"][0]["create_time"] = "2026-01-01T00:00:00"
    path.write_text(json.dumps(content))
    with pytest.raises(KeyFileError, match="create_time"):
        read_keys(path)
