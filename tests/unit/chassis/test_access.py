"""Each door of a server with access control: nobody, the wrong one, the right one, too often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from shiwu.chassis import errors
from shiwu.chassis.access import AccessTable
from shiwu.chassis.api_keys import create_key, revoke_key
from shiwu.chassis.audit import AuditLog
from shiwu.chassis.channel import connect, foreign_errors, is_serving
from shiwu.chassis.server import running
from shiwu.chassis.settings import AccessSettings, ClientSettings, ServerSettings
from tests.certificates import Authority
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import BIDI_STREAM, CLIENT_STREAM, NAME, SERVER_STREAM, UNARY, add_echo
from tests.unit.chassis.test_errors import details, failure
from tests.unit.chassis.test_tls import LOOK

TABLE = AccessTable({UNARY: ("use",), SERVER_STREAM: ("use", "other"), BIDI_STREAM: ("use",)})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def key(path: Path, *scopes: str, **options: Any) -> str:
    return create_key(path, prefix="test", scopes=scopes, **options)[0]


@asynccontextmanager
async def guarded(keys: Path, audit: AuditLog | None = None, **access: Any) -> AsyncIterator[grpc.aio.Channel]:
    settings = ServerSettings(port=0, access=AccessSettings(keys=keys, **access))
    async with (
        running(NAME, add_echo, settings, table=TABLE, audit=audit) as port,
        connect(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


def bearer(credentials: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {credentials}"),)


async def ask(channel: grpc.aio.Channel, credentials: str, request: bytes = b"0") -> bytes:
    return await channel.unary_unary(UNARY)(request, metadata=bearer(credentials), timeout=10.0)


async def refused(channel: grpc.aio.Channel, credentials: str) -> tuple[grpc.StatusCode, str]:
    error = await failure(ask(channel, credentials))
    return error.code(), error.details() or ""


@pytest.mark.parametrize(
    "start",
    [
        lambda channel: channel.unary_unary(UNARY)(b"0"),
        lambda channel: channel.unary_stream(SERVER_STREAM)(b"0").read(),
        lambda channel: channel.stream_unary(CLIENT_STREAM)(),
        # Sending nothing: a client of grpc.aio that still sends when it is refused may see an error of its own.
        lambda channel: channel.stream_stream(BIDI_STREAM)().read(),
    ],
)
async def test_nobody_is_refused_whatever_is_asked(start: Callable[[grpc.aio.Channel], Any], keys: Path) -> None:
    key(keys, "use")
    async with guarded(keys) as channel:
        error = await failure(start(channel))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.details() == "no credentials; send metadata `authorization: Bearer KEY`"


async def test_the_scope_decides(keys: Path) -> None:
    use, other, admin = key(keys, "use"), key(keys, "other"), key(keys, "admin")
    async with guarded(keys) as channel:
        assert await ask(channel, use)
        assert await ask(channel, admin)
        code, text = await refused(channel, other)
        assert (code, "needs the scope admin or use" in text) == (grpc.StatusCode.PERMISSION_DENIED, True)
        assert await channel.unary_stream(SERVER_STREAM)(b"0", metadata=bearer(other)).read() == b"first"
        # What the table does not name is the administrator's.
        call = channel.stream_unary(CLIENT_STREAM)
        assert (await failure(call(iter([b"0"]), metadata=bearer(use)))).code() is grpc.StatusCode.PERMISSION_DENIED
        assert await call(iter([b"0"]), metadata=bearer(admin))


async def test_what_is_not_a_valid_key_is_refused_in_the_same_words(keys: Path) -> None:
    good = key(keys, "use")
    wrong = [good[:-1] + ("0" if good[-1] != "0" else "1"), "test_" + "0" * 16 + "_" + "0" * 64]
    wrong.append("_".join([good.split("_")[0], good.split("_")[1], "0" * 64]))
    async with guarded(keys) as channel:
        answers = {await refused(channel, each) for each in wrong}
        assert answers == {(grpc.StatusCode.UNAUTHENTICATED, "the API key is not valid")}
        for odd in ("", "x", "a.b.c", good[:-1], good.upper(), "Bearer " + good):
            assert (await refused(channel, odd))[0] is grpc.StatusCode.UNAUTHENTICATED
        for scheme in ("Basic dXNlcjpwYXNz", good, "bearer"):
            error = await failure(channel.unary_unary(UNARY)(b"0", metadata=(("authorization", scheme),)))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_expires(keys: Path) -> None:
    expiring = key(keys, "use", days=0.5 / 86400)
    async with guarded(keys) as channel:
        assert await ask(channel, expiring)
        await asyncio.sleep(0.6)
        code, text = await refused(channel, expiring)
    assert (code, "has expired" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)


async def test_a_revoked_key_cannot_be_replayed_and_a_new_one_is_known_without_a_restart(keys: Path) -> None:
    first = key(keys, "use")
    async with guarded(keys) as channel:
        assert await ask(channel, first)
        revoke_key(keys, first.split("_")[1])
        second = key(keys, "use")
        await asyncio.sleep(LOOK)
        assert (await refused(channel, first))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert await ask(channel, second)


@pytest.mark.parametrize("content", ["nonsense", '{"keys": [{"key_id": "x"}]}', None])
async def test_a_file_of_keys_that_became_bad_changes_nothing(keys: Path, content: str | None, log: Log) -> None:
    good = key(keys, "use")
    async with guarded(keys) as channel:
        await asyncio.to_thread(keys.unlink if content is None else partial(keys.write_text, content))
        await asyncio.sleep(LOOK)
        assert await ask(channel, good)
    assert "the API keys stay as they were" in {entry["event"] for entry in log()}


async def test_a_key_has_a_rate_and_says_when_to_come_back(keys: Path) -> None:
    slow, quick = key(keys, "use", rate=2.0, burst=3), key(keys, "use")
    async with guarded(keys, rate=1000.0) as channel:
        assert [await ask(channel, slow) for _ in range(3)]
        error = await failure(ask(channel, slow))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details() == "this caller may make 2 calls a second"
        [retry] = details(error, RetryInfo)
        wait = retry.retry_delay.ToMilliseconds() / 1000
        assert 0.2 < wait <= 0.5
        assert await ask(channel, quick), "one caller's limit is another's"
        await asyncio.sleep(wait)
        assert await ask(channel, slow)


async def test_a_key_has_so_many_calls_at_once(keys: Path) -> None:
    narrow, wide = key(keys, "use", concurrency=2), key(keys, "use")
    async with guarded(keys) as channel:
        busy = [asyncio.create_task(ask(channel, narrow, b"0.5")) for _ in range(2)]
        await asyncio.sleep(0.2)
        error = await failure(ask(channel, narrow))
        assert (error.code(), len(details(error, RetryInfo))) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
        assert await ask(channel, wide)
        await asyncio.gather(*busy)
        cancelled = [channel.unary_unary(UNARY)(b"60", metadata=bearer(narrow)) for _ in range(2)]
        await asyncio.sleep(0.2)
        for call in cancelled:
            call.cancel()
        await asyncio.sleep(0.2)
        assert await ask(channel, narrow), "calls that were cancelled, or failed, are still counted"
        for _ in range(3):
            await failure(ask(channel, narrow, b"bug"))
        assert await ask(channel, narrow)


async def test_a_peer_that_refuses_us_is_unavailable_to_our_caller(keys: Path) -> None:
    key(keys, "use")
    async with guarded(keys) as channel:
        with pytest.raises(errors.UnavailableError, match="part: no credentials"), foreign_errors("part"):
            await channel.unary_unary(UNARY)(b"0")


async def test_health_is_open_and_reflection_off(keys: Path) -> None:
    key(keys, "use")
    async with guarded(keys) as channel:
        assert await is_serving(channel)
        # Nothing is sent: gRPC calls it an internal error of its own if the refusal overtakes a message.
        assert await ServerReflectionStub(channel).ServerReflectionInfo().code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_bad_key_is_not_made_good_by_a_certificate(keys: Path, tmp_path: Path) -> None:
    authority = Authority()
    server, gateway = authority.issue(tmp_path, "server"), authority.issue(tmp_path, "gateway")
    good = key(keys, "use")
    access = AccessSettings(keys=keys, callers={"gateway": ("use",)})
    settings = ServerSettings(port=0, access=access, tls=server.server())
    async with (
        running(NAME, add_echo, settings, table=TABLE) as port,
        connect(ClientSettings(target=f"127.0.0.1:{port}", tls=gateway.client())) as channel,
    ):
        assert await channel.unary_unary(UNARY)(b"0")
        assert await ask(channel, good)
        assert (await refused(channel, good[:-4] + "0000"))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_logs_name_the_caller_and_never_the_key(keys: Path, log: Log) -> None:
    good = key(keys, "use")
    async with guarded(keys) as channel:
        await ask(channel, good)
        await refused(channel, good[:-4] + "ffff")
    calls = [entry for entry in log() if entry["event"] == "call"]
    assert calls[0]["caller"] == f"key:{good.split('_')[1]}"
    assert calls[1]["level"] == "warning"
    assert good.split("_")[2][:32] not in json.dumps(log())


async def test_an_open_server_warns_unless_it_is_this_machines_alone(keys: Path, log: Log) -> None:
    key(keys, "use")
    everywhere = ServerSettings(host="0.0.0.0", port=0)
    for settings in (
        ServerSettings(port=0),
        everywhere,
        everywhere.model_copy(update={"access": AccessSettings(keys=keys)}),
    ):
        async with running(NAME, add_echo, settings):
            pass
    warnings = [entry["event"].partition(":")[0] for entry in log() if entry["level"] == "warning"]
    assert warnings == ["open", "no TLS"]


class TestAudit:
    def lines(self, path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    async def test_who_did_what_when_with_what_outcome(self, keys: Path, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        use, other = key(keys, "use"), key(keys, "other")
        audit = AuditLog({UNARY: lambda message: [f"thing={message.decode()}"]}, path)
        before = datetime.now(UTC) - timedelta(seconds=1)
        async with guarded(keys, audit) as channel:
            answer = await ask(channel, use)
            await failure(ask(channel, use, b"invalid"))
            await refused(channel, other)
            await failure(channel.unary_unary(UNARY)(b"0"))
            await channel.unary_stream(SERVER_STREAM)(b"0", metadata=bearer(use)).read()  # is not audited
        lines = self.lines(path)
        who = [f"key:{each.split('_')[1]}" for each in (use, other)]
        assert [(line["caller"], line["outcome"], line["resources"]) for line in lines] == [
            (who[0], "BEGUN", ["thing=0"]),
            (who[0], "OK", ["thing=0", f"thing={answer.decode()}"]),
            (who[0], "BEGUN", ["thing=invalid"]),
            (who[0], "INVALID_ARGUMENT", ["thing=invalid"]),
            (who[1], "PERMISSION_DENIED", []),
            ("anybody", "UNAUTHENTICATED", []),
        ]
        assert {line["method"] for line in lines} == {UNARY}
        assert all(line["peer"].startswith("ipv4:127.0.0.1") for line in lines)
        assert all(before < datetime.fromisoformat(line["timestamp"]) < datetime.now(UTC) for line in lines)
        assert oct(path.stat().st_mode)[-3:] == "600"

    async def test_it_is_only_ever_appended_to(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_text('{"outcome": "OK"}\n')
        AuditLog({UNARY: lambda _: []}, path).entry(UNARY, "").end("OK", None)
        assert [line["outcome"] for line in self.lines(path)] == ["OK", "OK"]

    async def test_what_cannot_be_noted_is_not_done(self, keys: Path) -> None:
        use = key(keys, "use")
        audit = AuditLog({UNARY: lambda _: []}, Path("/dev/full"))
        async with guarded(keys, audit) as channel:
            code, text = await refused(channel, use)
        assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "the audit log cannot be written, so nothing is changed")
