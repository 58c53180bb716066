"""Settings from the environment; what is wrong is named, never swallowed, and its value never shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shiwu.chassis.settings import ClientSettings, SettingsError, read_settings
from tests.unit.chassis.echo_service import Settings


def test_defaults_and_partial_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("ECHO_PEER__MAX_MESSAGE_MIB", "64")
    monkeypatch.setenv("ECHO_NAMES", '["a", "b"]')
    monkeypatch.setenv("ECHOES", "belongs to somebody else")
    settings = read_settings(Settings)
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 0)
    assert (settings.peer.target, settings.peer.max_message_mib) == ("127.0.0.1:1", 64)
    assert settings.names == ("a", "b")
    assert settings.observability.log_level == "info"


def test_callers_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SERVER__ACCESS__CALLERS", '{"spiffe://mesh/gateway": ["scan"]}')
    assert read_settings(Settings).server.access.callers == {"spiffe://mesh/gateway": ("scan",)}


def test_settings_do_not_change() -> None:
    settings = read_settings(Settings)
    with pytest.raises(ValidationError):
        settings.server.port = 1


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("ECHO_SERVER__PORT", "abc", "ECHO_SERVER__PORT: Input should be a valid integer"),
        ("ECHO_SERVER__PORT", "70000", "ECHO_SERVER__PORT: Input should be less than or equal to 65535"),
        ("ECHO_SERVER__DRAIN_SECONDS", "-1", "ECHO_SERVER__DRAIN_SECONDS: "),
        ("ECHO_SERVER__MAX_MESSAGE_MIB", "0", "ECHO_SERVER__MAX_MESSAGE_MIB: "),
        ("ECHO_SERVER__PROT", "1", "ECHO_SERVER__PROT: unknown setting; did you mean ECHO_SERVER__PORT?"),
        ("ECHO_SERVR__PORT", "1", "ECHO_SERVR__PORT: unknown setting; did you mean ECHO_SERVER__PORT?"),
        ("ECHO_XYZZY", "1", "ECHO_XYZZY: unknown setting; known: ECHO_OBSERVABILITY__LOG_LEVEL, "),
        ("echo_lod", "at once", "ECHO_LOD: unknown setting; did you mean ECHO_LOAD?"),
        ("ECHO_OBSERVABILITY__LOG_LEVEL", "loud", "ECHO_OBSERVABILITY__LOG_LEVEL: Input should be 'debug', 'info'"),
        ("ECHO_OBSERVABILITY__OTLP_ENDPOINT", "collector", "ECHO_OBSERVABILITY__OTLP_ENDPOINT: "),
        ("ECHO_NAMES", "a,b", "ECHO_NAMES: Input should be a valid tuple, as JSON"),
        ("ECHO_NAMES", '["a", 1]', "ECHO_NAMES[1]: Input should be a valid string"),
        ("ECHO_SERVER", "[1]", "ECHO_SERVER: "),
        ("ECHO_SERVER__TLS__KEY", "key.pem", "ECHO_SERVER__TLS: expected CERTIFICATE and KEY together"),
        ("ECHO_SERVER__TLS__CLIENT_CA", "ca.pem", "ECHO_SERVER__TLS: expected CERTIFICATE and KEY together"),
        ("ECHO_PEER__TLS__CERTIFICATE", "c.pem", "ECHO_PEER__TLS: expected CERTIFICATE and KEY together, and CA"),
        ("ECHO_SERVER__TLS__CERT", "c.pem", "ECHO_SERVER__TLS__CERT: unknown setting"),
        ("ECHO_SERVER__ACCESS__JWKS", "http://issuer/jwks", "ECHO_SERVER__ACCESS__JWKS: "),
        ("ECHO_SERVER__ACCESS__JWKS", "https://issuer/jwks", "ECHO_SERVER__ACCESS: expected ISSUER and AUDIENCE"),
        ("ECHO_SERVER__ACCESS__CALLERS", "gateway", "ECHO_SERVER__ACCESS__CALLERS: Input should be a valid dictionary"),
        ("ECHO_SERVER__ACCESS__RATE", "0", "ECHO_SERVER__ACCESS__RATE: "),
        ("ECHO_PEER__TARGET", "http://detector:1", 'ECHO_PEER__TARGET: expected "host:port"'),
    ],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        read_settings(Settings)
    assert str(caught.value).startswith(problem)


def test_every_problem_is_named_and_no_value_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SERVER__PORT", "hunter2")
    monkeypatch.setenv("ECHO_PASSWORD", "hunter2")
    with pytest.raises(SettingsError) as caught:
        read_settings(Settings)
    assert len(str(caught.value).splitlines()) == 2
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    ["detector:50051", "127.0.0.1:1", "[::1]:50051", "dns:///detector.mesh.svc:50051", "ipv4:10.0.0.1:1,10.0.0.2:1"],
)
def test_targets(target: str) -> None:
    assert ClientSettings(target=target).target == target


@pytest.mark.parametrize("target", ["", "detector", "detector:", "http://detector:50051", "two words:1", "xds:///a"])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ValidationError):
        ClientSettings(target=target)
