"""Any message to any method of any service: an answer, or an error that says whose mistake it was.

SHIWU_FUZZ_EXAMPLES sets how many messages each method gets; the gate sends few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.conftest import SecureMesh
from tests.security.messages import messages
from tests.security.methods import METHODS, Method

EXAMPLES = int(os.environ.get("SHIWU_FUZZ_EXAMPLES", "12"))
BUGS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE,  # a service that has crashed, or refuses another one's request as its bug
}
few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SHIWU_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def channels(secure: SecureMesh) -> Iterator[dict[str, grpc.Channel]]:
    admin = secure.keys["admin"]
    services = {method.service for method in METHODS}
    with ExitStack() as stack:
        yield {service: stack.enter_context(secure.channel(service, admin)) for service in services}


def problem(channel: grpc.Channel, method: Method, requests: list[bytes]) -> str | None:
    """What of the answer is a bug; None: nothing."""
    try:
        list(channel.stream_stream(method.path)(iter(requests), timeout=5))
    except grpc.RpcError as error:
        return f"{error.code()}: {error.details()}" if error.code() in BUGS or not error.details() else None
    return None


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_any_message_is_answered(secure: SecureMesh, channels: dict[str, grpc.Channel], method: Method) -> None:
    most = 3 if method.streams else 1

    @few
    @given(st.lists(messages(method.request), min_size=1, max_size=most))
    def check(sent: list[Message]) -> None:
        assert problem(channels[method.service], method, [each.SerializeToString() for each in sent]) is None

    check()
    assert secure.mesh.ended() == []


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_any_bytes_are_answered(secure: SecureMesh, channels: dict[str, grpc.Channel], method: Method) -> None:
    @few
    @given(st.binary(max_size=300))
    def check(sent: bytes) -> None:
        assert problem(channels[method.service], method, [sent]) is None

    check()
    assert secure.mesh.ended() == []


def test_a_message_over_the_limit_is_refused_and_the_service_goes_on(
    secure: SecureMesh, channels: dict[str, grpc.Channel]
) -> None:
    for service in sorted(channels):
        method = next(each for each in METHODS if each.service == service and not each.streams)
        with pytest.raises(grpc.RpcError) as error:
            channels[service].unary_unary(method.path)(b"\x0a" * (33 << 20), timeout=20)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert secure.mesh.ended() == []
