"""TLS: who is let in, and certificates that change while calls run."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from shiwu.chassis.access import AccessTable
from shiwu.chassis.channel import connect, is_serving
from shiwu.chassis.server import running
from shiwu.chassis.settings import ClientSettings, ClientTls, ServerSettings, ServerTls
from shiwu.chassis.tls import TlsError, client_credentials, server_credentials
from tests.certificates import Authority, Pair
from tests.unit.chassis.conftest import Log
from tests.unit.chassis.echo_service import BIDI_STREAM, NAME, SERVER_STREAM, UNARY, add_echo
from tests.unit.chassis.test_errors import failure

LOOK = 1.2  # seconds in which a change of files is noticed
TABLE = AccessTable({UNARY: ("use",), BIDI_STREAM: ("use",), SERVER_STREAM: ("other",)}, callers={"gateway": ("use",)})


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@asynccontextmanager
async def served(tls: ServerTls, table: AccessTable = TABLE, **settings: float) -> AsyncIterator[int]:
    async with running(NAME, add_echo, ServerSettings(port=0, tls=tls, **settings), table=table) as port:
        yield port


def channel(port: int, tls: ClientTls) -> grpc.aio.Channel:
    return connect(ClientSettings(target=f"127.0.0.1:{port}", tls=tls))


async def refusal(port: int, tls: ClientTls) -> grpc.StatusCode:
    async with channel(port, tls) as client:
        return (await failure(client.unary_unary(UNARY)(b"0", timeout=3.0))).code()


async def test_a_known_certificate_is_let_in_with_its_scopes_only(authority: Authority, tmp_path: Path) -> None:
    server, gateway = authority.issue(tmp_path, "server"), authority.issue(tmp_path, "gateway")
    async with served(server.server()) as port, channel(port, gateway.client()) as client:
        assert await client.unary_unary(UNARY)(b"0")
        error = await failure(client.unary_stream(SERVER_STREAM)(b"0").read())
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == "this needs the scope admin or other; the certificate gateway has not got it"


async def test_other_certificates_are_not(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue(tmp_path, "server")
    stranger = authority.issue(tmp_path / "a", "stranger")
    expired = authority.issue(tmp_path / "b", "gateway", life=timedelta(hours=-1))
    foreign = Authority("foreign").issue(tmp_path / "c", "gateway", authorities=authority.pem)
    async with served(server.server()) as port:
        assert await refusal(port, stranger.client()) is grpc.StatusCode.PERMISSION_DENIED
        assert await refusal(port, stranger.client(mutual=False)) is grpc.StatusCode.UNAVAILABLE
        assert await refusal(port, expired.client()) is grpc.StatusCode.UNAVAILABLE
        assert await refusal(port, foreign.client()) is grpc.StatusCode.UNAVAILABLE
        async with connect(f"127.0.0.1:{port}") as plain:
            assert (await failure(plain.unary_unary(UNARY)(b"0", timeout=3.0))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_is_not_the_one_is_not_talked_to(authority: Authority, tmp_path: Path) -> None:
    gateway = authority.issue(tmp_path, "gateway")
    impostor = Authority("foreign").issue(tmp_path / "x", "server", authorities=authority.pem)
    async with served(impostor.server()) as port:
        assert await refusal(port, gateway.client()) is grpc.StatusCode.UNAVAILABLE
    server = authority.issue(tmp_path, "server")
    async with served(server.server()) as port:
        wanted = gateway.client().model_copy(update={"server_name": "another"})
        assert await refusal(port, wanted) is grpc.StatusCode.UNAVAILABLE
        wanted = gateway.client().model_copy(update={"server_name": "server"})
        async with channel(port, wanted) as client:
            assert await client.unary_unary(UNARY)(b"0")


async def shakes_hands(port: int, ca: Path, version: ssl.TLSVersion) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True


async def test_old_versions_of_tls_are_refused(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue(tmp_path, "server")
    async with served(server.server(mutual=False)) as port:
        assert await shakes_hands(port, server.ca, ssl.TLSVersion.TLSv1_2)
        assert not await shakes_hands(port, server.ca, ssl.TLSVersion.TLSv1_1)


async def test_certificates_of_a_running_mesh_are_exchanged_and_the_old_ca_goes(tmp_path: Path) -> None:
    """The rotation of docs/security.md: trust both, issue anew, trust the new one alone. No call fails."""
    old, new = Authority("old"), Authority("new")
    server, gateway = old.issue(tmp_path, "server"), old.issue(tmp_path, "gateway")
    left_behind = old.issue(tmp_path / "left", "gateway", authorities=old.pem + new.pem)
    answers: list[bytes] = []
    async with served(server.server()) as port, channel(port, gateway.client()) as client:
        call, stop = client.unary_unary(UNARY), asyncio.Event()

        async def go_on() -> None:
            while not stop.is_set():
                answers.append(await call(b"0", timeout=3.0))
                await asyncio.sleep(0.01)

        going = asyncio.create_task(go_on())
        streaming = client.stream_stream(BIDI_STREAM)()
        await streaming.write(b"0")
        await streaming.read()
        for authority, trusted in ((old, old.pem + new.pem), (new, old.pem + new.pem), (new, new.pem)):
            authority.issue(tmp_path, "server", authorities=trusted)
            authority.issue(tmp_path, "gateway", authorities=trusted)
            await asyncio.sleep(LOOK)
            if trusted != new.pem:
                async with channel(port, left_behind.client()) as other:
                    assert await other.unary_unary(UNARY)(b"0", timeout=3.0)
        assert await refusal(port, left_behind.client()) is grpc.StatusCode.UNAVAILABLE
        await streaming.write(b"0")
        assert await streaming.read(), "a call under way was cut off"
        stop.set()
        await going
        assert await is_serving(client)
    assert len(answers) > 100


async def test_an_open_connection_outlives_its_ca_no_longer_than_it_may(tmp_path: Path) -> None:
    old, new = Authority("old"), Authority("new")
    server, gateway = old.issue(tmp_path, "server"), old.issue(tmp_path / "left", "gateway", authorities=old.pem)
    async with (
        served(server.server(), max_connection_age_seconds=2.0) as port,
        channel(port, gateway.client()) as client,
    ):
        call = client.unary_unary(UNARY)
        assert await call(b"0", timeout=3.0)
        new.issue(tmp_path, "server")
        assert await call(b"0", timeout=3.0), "the connection is open and young"
        await asyncio.sleep(3.0)
        assert (await failure(call(b"0", timeout=3.0))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_half_written_renewal_changes_nothing(authority: Authority, tmp_path: Path, log: Log) -> None:
    server, gateway = authority.issue(tmp_path, "server"), authority.issue(tmp_path, "gateway")
    async with served(server.server()) as port, channel(port, gateway.client()) as client:
        call = client.unary_unary(UNARY)
        assert await call(b"0")
        other = authority.issue(tmp_path / "x", "other")
        for pair in (server, gateway):
            pair.certificate.write_bytes(other.certificate.read_bytes())  # the key comes later
        await asyncio.sleep(LOOK)
        assert await call(b"0")
        async with channel(port, authority.issue(tmp_path / "y", "gateway").client()) as fresh:
            assert await fresh.unary_unary(UNARY)(b"0")
    problems = [entry["problem"] for entry in log() if entry["event"] == "the certificate stays as it was"]
    assert len(problems) == 2
    assert all("is not that of the certificate" in problem for problem in problems)


@pytest.mark.parametrize(
    ("part", "content", "problem"),
    [
        ("certificate", b"nonsense", "is not a certificate in PEM form"),
        ("key", b"nonsense", "is not a private key in PEM form"),
        ("ca", b"nonsense", "holds no certificates in PEM form"),
        ("key", None, "cannot be read: No such file"),
        ("ca", None, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_used_is_named(
    authority: Authority, tmp_path: Path, part: str, content: bytes | None, problem: str
) -> None:
    pair: Pair = authority.issue(tmp_path, "x")
    path: Path = getattr(pair, part)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for use in (lambda: server_credentials(pair.server()), lambda: client_credentials(pair.client())):
        with pytest.raises(TlsError, match=problem) as caught:
            use()
        assert str(path) in str(caught.value)
