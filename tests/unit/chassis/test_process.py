"""The life of a real service process: settings, signals, exit codes, logs."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from shiwu.chassis.channel import connect
from tests.unit.chassis.echo_service import BIDI_STREAM, UNARY
from tests.unit.chassis.serving import EchoProcess
from tests.unit.chassis.test_errors import failure


def test_wrong_settings_are_one_message_and_exit_code_2() -> None:
    with EchoProcess(SERVER__PORT="abc", SERVER__PROT="1") as process:
        assert process.wait() == 2
    assert process.log == [
        "settings are wrong:",
        "ECHO_SERVER__PORT: Input should be a valid integer, unable to parse string as an integer",
        "ECHO_SERVER__PROT: unknown setting; did you mean ECHO_SERVER__PORT?",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_running_service_cleanly(number: int) -> None:
    with EchoProcess() as process:
        process.port()
        process.terminate(number)
        assert process.wait() == 0
    events = [json.loads(line)["event"] for line in process.log]
    assert events[:3] == ["serving", "draining", "stopped"]


@pytest.mark.parametrize("load", ["awaiting", "blocking", "in a thread"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_slow_start_at_once(load: str, number: int) -> None:
    with EchoProcess(LOAD=load) as process:
        assert process.says() == "loading"
        time.sleep(0.1)
        start = time.perf_counter()
        process.terminate(number)
        assert process.wait() == 0
        assert time.perf_counter() - start < 10.0  # of 60
    assert json.loads(process.log[-1])["event"] == "stopped while starting"


_COLLECTING = """
import gc, time
import services.catalog.__main__
from shiwu.chassis.process import spare_the_collector

def seconds():
    begun = time.perf_counter()
    gc.collect()
    return time.perf_counter() - begun

before = min(seconds() for _ in range(3))
spare_the_collector()
print(before, min(seconds() for _ in range(3)))
"""


def test_looking_for_garbage_leaves_out_what_was_there_from_the_start() -> None:
    """Else a service stops for tens of milliseconds now and then."""
    done = subprocess.run([sys.executable, "-c", _COLLECTING], check=True, capture_output=True, text=True)
    before, after = map(float, done.stdout.split())
    assert after < before / 10


def test_a_failing_start_is_logged_and_exit_code_1() -> None:
    with EchoProcess(LOAD="failing") as process:
        assert process.wait() == 1
    entry = json.loads(process.log[-1])
    assert (entry["event"], entry["level"]) == ("failed", "error")
    assert "OSError: no such model" in entry["exception"]


def test_a_taken_port_is_exit_code_1() -> None:
    with EchoProcess() as first, EchoProcess(SERVER__PORT=str(first.port())) as second:
        assert second.wait() == 1
    assert "cannot listen on 127.0.0.1" in second.log[-1]


async def test_a_call_in_flight_finishes_during_the_drain() -> None:
    with EchoProcess() as process:
        async with connect(f"127.0.0.1:{process.port()}") as channel:
            call = channel.unary_unary(UNARY)(b"1.0")
            await asyncio.sleep(0.4)
            process.terminate()
            process.terminate()  # impatience changes nothing
            assert (await call).isdigit()
        assert await asyncio.to_thread(process.wait) == 0


async def test_a_call_that_never_ends_does_not_hold_the_process() -> None:
    with EchoProcess(SERVER__DRAIN_SECONDS="0.5") as process:
        async with connect(f"127.0.0.1:{process.port()}") as channel:
            call = channel.stream_stream(BIDI_STREAM)()
            await call.write(b"60")
            await asyncio.sleep(0.2)
            process.terminate()
            assert await asyncio.to_thread(process.wait, 5) == 0
            await failure(call.read())


async def test_a_log_line_for_a_call_has_its_ids_and_nothing_of_its_payload() -> None:
    with EchoProcess() as process:
        async with connect(f"127.0.0.1:{process.port()}") as channel:
            trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            metadata = (("x-request-id", "from-the-shop-1"), ("traceparent", trace))
            await channel.unary_unary(UNARY)(b"0.00001234", metadata=metadata)
            await failure(channel.unary_unary(UNARY)(b"secret words"))  # float() of it raises, quoting it
        process.terminate()
        process.wait()
    calls = [entry for line in process.log if (entry := json.loads(line))["event"] == "call"]
    assert [entry["code"] for entry in calls] == ["OK", "INTERNAL"]
    assert calls[0]["request_id"] == "from-the-shop-1"
    assert calls[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert calls[0]["method"] == UNARY
    assert calls[0]["service"] == "echo"
    assert calls[0]["level"] == "info"
    assert calls[0]["milliseconds"] >= 0
    assert "0.00001234" not in json.dumps(calls[0])
    assert "ValueError" in calls[1]["exception"]


async def test_the_log_level_is_a_setting() -> None:
    with EchoProcess(OBSERVABILITY__LOG_LEVEL="error") as process:
        async with connect(f"127.0.0.1:{process.port()}") as channel:
            await channel.unary_unary(UNARY)(b"0")
        process.terminate()
        process.wait()
    assert process.log == []


async def test_console_logs_show_no_local_variables() -> None:
    with EchoProcess(OBSERVABILITY__LOG_FORMAT="console") as process:
        async with connect(f"127.0.0.1:{process.port()}") as channel:
            await failure(channel.unary_unary(UNARY)(b"bug"))
        process.terminate()
        process.wait()
    text = "\n".join(process.log)
    assert "KeyError" in text
    assert "request = " not in text
