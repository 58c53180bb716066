"""How all tests run."""

from __future__ import annotations

import functools

import pytest
from hypothesis import settings

from tests.stalls import StallWatch

# Examples of property tests take as long as the machine lets them, which has other tests to run, too.
settings.register_profile("shiwu", deadline=None)
settings.load_profile("shiwu")

_stall_watch = functools.cache(StallWatch)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    again = pytest.mark.flaky(reruns=1, condition=lambda: _stall_watch().stood_still())
    for item in items:
        item.add_marker(again)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _stall_watch().forget()
