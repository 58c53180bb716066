"""One JSON object a line, from us and from libraries, whatever is logged."""

from __future__ import annotations

import logging
from datetime import datetime

import structlog

from shiwu.chassis.calls import Call, current_call
from tests.unit.chassis.conftest import Log


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
