"""One JSON object a line, from us and from libraries, whatever is logged."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from shiwu.chassis import logs
from shiwu.chassis.calls import Call, current_call
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import UNARY
from tests.unit.chassis.serving import echo


def test_an_entry_says_when_who_and_how_bad(log: Log) -> None:
    structlog.get_logger().warning("slow", seconds=1.5, shop="识物")
    [entry] = log()
    assert datetime.fromisoformat(entry.pop("timestamp")).tzinfo is not None
    assert entry == {"event": "slow", "level": "warning", "service": "test", "seconds": 1.5, "shop": "识物"}


async def test_an_entry_of_a_call_has_its_ids(log: Log) -> None:
    current_call.set(Call("/a/b", "id", "0" * 32, None))
    structlog.get_logger().info("here")
    logging.getLogger("library").warning("there")
    current_call.set(None)
    assert [(e["method"], e["request_id"], e["trace_id"]) for e in log()] == [("/a/b", "id", "0" * 32)] * 2


def test_libraries_log_the_same_way_but_from_warnings_on(log: Log) -> None:
    logging.getLogger("library").info("chatter")
    try:
        raise OSError("gone")
    except OSError:
        logging.getLogger("library").exception("lost %s", "it")
    [entry] = log()
    assert (entry["event"], entry["level"], entry["logger"]) == ("lost it", "error", "library")
    assert "OSError: gone" in entry["exception"]


def test_what_json_does_not_know_is_described(log: Log) -> None:
    structlog.get_logger().info("odd", value=object, number=float("nan"), text="\ud800", data=b"x")
    [entry] = log()
    assert entry["value"] == repr(object)


def test_a_level_can_be_left_out(log: Log) -> None:
    structlog.get_logger().debug("unheard")
    structlog.get_logger().info("heard")
    assert [entry["event"] for entry in log()] == ["heard"]


async def test_a_full_disk_under_the_log_fails_no_call(log: Log, full: TextIO) -> None:
    logs.configure("test", stream=full)
    async with echo() as channel:
        call = channel.unary_unary(UNARY)
        for _ in range(20):
            assert await call(b"0")
    logging.getLogger("library").warning("there")


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A file on a disk without space."""
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8", buffering=1) as file:
        yield file


def test_the_log_goes_on_when_the_disk_has_space_again(log: Log) -> None:
    stream = SmallDisk()
    logs.configure("test", stream=stream)
    structlog.get_logger().info("before")
    stream.full = True
    structlog.get_logger().info("lost")
    stream.full = False
    structlog.get_logger().info("after")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["before", "after"]


class SmallDisk(io.StringIO):
    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)
