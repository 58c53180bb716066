"""Request id and trace over two hops, and spans to a collector where one is configured."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from shiwu.chassis.calls import Call, current_call
from shiwu.chassis.channel import connect, is_serving
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import NAME, UNARY
from tests.unit.chassis.serving import EchoProcess, echo
from tests.unit.chassis.test_errors import KINDS, Ask, adding

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


class Hops:
    """A front service that calls a back service; what the back one saw."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.call: Call | None = None

    async def back(self, _request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.metadata = dict(context.invocation_metadata())
        self.call = current_call.get()
        return b""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable]:
        add_back = adding(grpc.unary_unary_rpc_method_handler, self.back)
        async with running(NAME, add_back, ServerSettings(port=0)) as port, connect(f"127.0.0.1:{port}") as onward:

            async def front(request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
                return await onward.unary_unary(f"/{NAME}/Method")(request)

            add_front = adding(grpc.unary_unary_rpc_method_handler, front)
            async with (
                running(NAME, add_front, ServerSettings(port=0)) as front_port,
                grpc.aio.insecure_channel(f"127.0.0.1:{front_port}") as channel,
            ):
                yield channel.unary_unary(f"/{NAME}/Method")


async def trailing(call: grpc.aio.UnaryUnaryCall) -> dict[str, str]:
    return dict(await call.trailing_metadata())


async def test_given_ids_travel_over_two_hops_and_back() -> None:
    hops = Hops()
    async with hops.running() as ask:
        metadata = (("x-request-id", "shop.1:a/b=c"), ("traceparent", TRACEPARENT), ("tracestate", "vendor=x"))
        call = ask(b"", metadata=metadata, timeout=5.0)
        await call
        assert (await trailing(call))["x-request-id"] == "shop.1:a/b=c"
    assert hops.metadata["x-request-id"] == "shop.1:a/b=c"
    assert hops.metadata["traceparent"] == TRACEPARENT
    assert hops.metadata["tracestate"] == "vendor=x"
    assert hops.call is not None
    assert hops.call.trace_id == TRACE_ID


async def test_missing_ids_are_made_at_the_first_hop() -> None:
    hops = Hops()
    async with hops.running() as ask:
        ids = []
        for _ in range(2):
            call = ask(b"", timeout=5.0)
            await call
            ids.append((hops.metadata["x-request-id"], hops.metadata["traceparent"][3:35]))
            assert (await trailing(call))["x-request-id"] == ids[-1][0]
    assert all(re.fullmatch("[0-9a-f]{32}", made) for pair in ids for made in pair)
    assert len({made for pair in ids for made in pair}) == 4


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, 'a"b', "<script>", "a;b"])
async def test_a_request_id_that_is_not_sane_is_replaced(given: str) -> None:
    hops = Hops()
    async with hops.running() as ask:
        await ask(b"", metadata=(("x-request-id", given),), timeout=5.0)
    assert re.fullmatch("[0-9a-f]{32}", hops.metadata["x-request-id"])


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{'0' * 32}-{SPAN_ID}-01", f"ff-{TRACE_ID}-{SPAN_ID}-01"])
async def test_a_trace_that_is_not_sane_is_replaced(given: str) -> None:
    hops = Hops()
    async with hops.running() as ask:
        await ask(b"", metadata=(("traceparent", given),), timeout=5.0)
    assert hops.call is not None
    assert hops.call.trace_id not in (TRACE_ID, "0" * 32)
    assert hops.metadata["traceparent"].startswith(f"00-{hops.call.trace_id}-")


async def test_calls_at_the_same_time_keep_their_ids_apart() -> None:
    hops = Hops()
    async with hops.running() as ask:
        calls = {f"id-{n}": ask(b"", metadata=(("x-request-id", f"id-{n}"),), timeout=10.0) for n in range(50)}
        await asyncio.gather(*calls.values())
        for given, call in calls.items():
            assert (await trailing(call))["x-request-id"] == given


@pytest.mark.parametrize("ask", KINDS)
async def test_every_kind_of_rpc_logs_one_line_with_its_ids(ask: Ask, log: Log) -> None:
    async with echo() as channel:
        await is_serving(channel)  # which is not worth a line
        await ask(channel, b"0")
    [entry] = [entry for entry in log() if entry["event"] == "call"]
    assert re.fullmatch("[0-9a-f]{32}", entry["request_id"])
    assert re.fullmatch("[0-9a-f]{32}", entry["trace_id"])


class Collector:
    """An OTLP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, object]] = []

    async def export(self, request: ExportTraceServiceRequest, _context: object) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            service = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(service["service.name"], span) for span in scope.spans]
        return ExportTraceServiceResponse()

    def add(self, server: grpc.aio.Server) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            self.export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
        )
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))


async def test_spans_reach_a_collector_as_children_of_the_callers() -> None:
    collector = Collector()
    async with running("collector", collector.add, ServerSettings(port=0)) as port:
        with EchoProcess(OBSERVABILITY__OTLP_ENDPOINT=f"http://127.0.0.1:{port}") as process:
            async with connect(f"127.0.0.1:{await asyncio.to_thread(process.port)}") as channel:
                await channel.unary_unary(UNARY)(b"0", metadata=(("traceparent", TRACEPARENT),))
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary(UNARY)(b"bug", metadata=(("traceparent", TRACEPARENT),))
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0
    assert [service for service, _ in collector.spans] == ["echo", "echo"]
    good, bad = (span for _, span in collector.spans)
    for span in (good, bad):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
        assert (span.name, span.kind) == (UNARY.strip("/"), 2)
    attributes = [{a.key: a.value.string_value for a in span.attributes} for span in (good, bad)]
    assert [a["rpc.response.status_code"] for a in attributes] == ["OK", "INTERNAL"]
    assert (good.status.code, bad.status.code) == (0, 2)
    assert json.loads(process.log[1])["trace_id"] == TRACE_ID


def test_a_collector_without_the_exporter_installed_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = tmp_path / "opentelemetry_blocker"
    block.mkdir()
    (block / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry.exporter.otlp.proto.grpc.trace_exporter'] = None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(block))
    with EchoProcess(OBSERVABILITY__OTLP_ENDPOINT="http://127.0.0.1:1") as process:
        assert process.wait() == 2
    assert "opentelemetry-exporter-otlp-proto-grpc" in process.log[1]
