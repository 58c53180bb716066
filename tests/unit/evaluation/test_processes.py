"""Foreign servers start, say why they do not, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.processes import ServerProcess, free_ports

FAMILY = "sleep 60 & echo $! > child; echo ready; wait"
OWNER = """
import sys, time
from pathlib import Path
from evaluation.processes import ServerProcess
folder = Path(sys.argv[1])
server = ServerProcess("family", ["sh", "-c", sys.argv[2]], folder / "log", folder=folder)
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(*pids: int) -> bool:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def child(folder: Path) -> int:
    deadline = time.monotonic() + 10
    while not (folder / "child").exists() or not (folder / "child").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int((folder / "child").read_text())


def family(folder: Path) -> ServerProcess:
    return ServerProcess("family", ["sh", "-c", FAMILY], folder / "log", folder=folder)


@pytest.mark.parametrize("grace", [0.0, 5.0])
def test_it_ends_with_what_it_started_and_may_start_again(tmp_path: Path, grace: float) -> None:
    server = family(tmp_path)
    for _ in range(2):
        (tmp_path / "child").unlink(missing_ok=True)
        server.start()
        server.wait(lambda: None if "ready" in (tmp_path / "log").read_text() else "silent", 10)
        pid, started = server.pid, child(tmp_path)
        server.end(grace)
        assert gone(pid, started)
    with pytest.raises(RuntimeError, match="family is not running"):
        _ = server.pid
    server.end()  # once more does no harm


def test_one_that_ends_at_its_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = ServerProcess("broken", ["sh", "-c", "echo no such file; exit 3"], tmp_path / "log")
    server.start()
    with pytest.raises(RuntimeError, match=r"broken does not start: not listening; end of .*\nno such file"):
        server.wait(lambda: "not listening", 10)


def test_one_that_is_late_is_ended_and_told(tmp_path: Path) -> None:
    server = family(tmp_path)
    server.start()
    started = child(tmp_path)
    with pytest.raises(RuntimeError, match="family does not start: silent"):
        server.wait(lambda: "silent", 0.1)
    assert gone(started)


def test_it_does_not_outlive_a_process_that_was_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), FAMILY], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, started = int(owner.stdout.readline()), child(tmp_path)
    assert alive(pid)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert gone(pid, started)


def test_free_ports_can_be_listened_on() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
