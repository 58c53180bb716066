"""Logs of this process, as the services write them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from shiwu.chassis import logs

Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """What was logged so far, an entry a line."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("test")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
