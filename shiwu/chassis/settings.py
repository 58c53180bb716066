"""What every service's settings are made of. Nothing else in the project reads the environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class SettingsError(ValueError):
    """Settings are wrong; the message has a line for each problem, which begins with the name of the variable."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerTls(_Section):
    """TLS of a server; unset: none. Files are PEM, and read again when they change."""

    certificate: Path | None = None
    """With the chain up to the CA, if there are intermediate ones."""
    key: Path | None = None
    client_ca: Path | None = None
    """Mutual TLS: clients must show a certificate of this CA, by whose names the access table knows them."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.key is None) or (self.client_ca and self.certificate is None):
            msg = "expected CERTIFICATE and KEY together, and both with CLIENT_CA"
            raise ValueError(msg)
        return self


class ClientTls(_Section):
    """TLS to another service; unset: none. Files are PEM, and read again when they change."""

    ca: Path | None = None
    """Of the servers' certificates."""
    certificate: Path | None = None
    """Shown to the server, for mutual TLS."""
    key: Path | None = None
    server_name: str | None = None
    """The name that the server's certificate must hold, where that is not the target's host."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.key is None) or ((self.certificate or self.server_name) and not self.ca):
            msg = "expected CERTIFICATE and KEY together, and CA with any of the others"
            raise ValueError(msg)
        return self


class AccessSettings(_Section):
    """Who may call. Without keys, token issuer and client CA everybody may."""

    keys: Path | None = None
    """File of API keys, as `shiwu keys create` makes it; read again when it changes."""
    jwks: str | None = Field(None, pattern=r"^(https://\S+|/.+|\.{0,2}/?[^:]+)$")
    """https URL or path of the JSON Web Key Set that tokens are checked with."""
    issuer: str = ""
    """Of the tokens: their claim `iss`."""
    audience: str = ""
    """This mesh, in the tokens' claim `aud`."""
    max_token_hours: float = Field(24.0, gt=0.0)
    """Tokens that are valid for longer are refused: one that was stolen is good until it expires."""
    callers: dict[str, tuple[str, ...]] | None = None
    """By a DNS name or URI in a client's certificate its scopes, as JSON; unset: what the service's own table says."""
    rate: float = Field(50.0, gt=0.0)
    """Calls a second of one key or token's subject, on average; this and the next two hold for each process, and
    where the key's own record says nothing else."""
    burst: int = Field(100, ge=1)
    """Calls that may come at once after a quiet time."""
    concurrency: int = Field(32, ge=1)
    """Calls under way at the same time."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.jwks is not None and not (self.issuer and self.audience):
            msg = "expected ISSUER and AUDIENCE with JWKS"
            raise ValueError(msg)
        return self


class ServerSettings(_Section):
    """How a service is reached."""

    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on; "0.0.0.0" or "[::]" for all."""
    port: int = Field(ge=0, le=65535)
    """0: any free port."""
    max_message_mib: int = Field(32, ge=1, le=1024)
    """Largest message received or sent, MiB."""
    max_concurrent_rpcs: int = Field(256, ge=1)
    """Calls served at once; more are refused with RESOURCE_EXHAUSTED. Health and reflection do not count."""
    drain_seconds: float = Field(10.0, ge=0.0)
    """How long calls in flight may take after a SIGTERM."""
    metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port of the Prometheus metrics over HTTP; unset: none. 0: any free port."""
    health_port: int | None = Field(None, ge=1, le=65535)
    """Another port for health checks alone, without TLS, for Kubernetes' probes; unset: none."""
    handshake_seconds: float = Field(10.0, gt=0.0)
    """A client that has not said what it wants by then is hung up on."""
    max_connection_age_seconds: float = Field(3600.0, gt=0.0)
    """Older connections are made anew, calls under way allowed for: until then a client does not learn of servers that
    were added, and keeps what its certificate, which is looked at once, has got it."""
    tls: ServerTls = ServerTls()
    access: AccessSettings = AccessSettings()


class ClientSettings(_Section):
    """How another service is reached."""

    target: str
    """A gRPC target: "host:port", "dns:///host:port" or "ipv4:10.0.0.1:50051,10.0.0.2:50051"; calls are spread
    round robin over all of its addresses."""
    max_message_mib: int = Field(32, ge=1, le=1024)
    """Largest message received or sent, MiB."""

    tls: ClientTls = ClientTls()

    @field_validator("target")
    @classmethod
    def _is_a_target(cls, target: str) -> str:
        wanted = 'expected "host:port", "dns:///host:port", "ipv4:address:port,..." or "unix:path"'
        if not re.fullmatch(
            r"(dns|ipv4|ipv6|unix|unix-abstract):\S+|[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", target
        ):
            raise ValueError(wanted)
        return target


class ObservabilitySettings(_Section):
    """Logs and traces; the same for every service."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    otlp_endpoint: str | None = Field(None, pattern=r"^https?://\S+$")
    """OTLP/gRPC collector that receives spans, as "http://host:4317"; unset: trace ids travel, spans go nowhere."""


class ServiceSettings(BaseSettings):
    """Base of a service's settings, read from environment variables with the prefix that the subclass sets.

    A nested value is NAME__PART: DETECTOR_SERVER__PORT=50051. An unknown variable with the prefix is an error, so
    that a typo is never swallowed. (Kubernetes puts such variables, DETECTOR_PORT and the like, into every pod beside
    a Service called "detector": its pods need `enableServiceLinks: false`.)
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_nested_delimiter="__", nested_model_default_partial_update=True
    )

    observability: ObservabilitySettings = ObservabilitySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings
        return init_settings, _StrictEnvironment(settings_cls)


class _StrictEnvironment(EnvSettingsSource):
    """The environment with unknown variables kept in, for `extra="forbid"` to find and name."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if not self.env_prefix:
            return values
        prefix, delimiter = self.env_prefix.lower(), self.env_nested_delimiter or "__"
        for variable, value in self.env_vars.items():
            name = variable.removeprefix(prefix)
            if name != variable and name.split(delimiter)[0] not in self.settings_cls.model_fields:
                values[name] = value
        return values

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:  # not JSON; the model says better than this what it should have been
            return value


_Settings = TypeVar("_Settings", bound=BaseSettings)


def read_settings(settings_type: type[_Settings]) -> _Settings:
    """The settings that the environment holds. Raises SettingsError, which names every variable that is wrong."""
    prefix = settings_type.model_config.get("env_prefix", "")
    try:
        return settings_type()
    except ValidationError as error:
        known = list(_variables(settings_type, prefix))
        problems = [
            _problem(prefix, problem["loc"], problem["type"], problem["msg"], known) for problem in error.errors()
        ]
    raise SettingsError("\n".join(problems))


def _problem(prefix: str, location: Sequence[int | str], kind: str, message: str, known: Sequence[str]) -> str:
    """One line about one value, which itself stays out of it: it may be a password."""
    variable = prefix + "__".join(part.upper() for part in location if isinstance(part, str))
    place = "".join(f"[{part}]" for part in location if isinstance(part, int))
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
        message = f"unknown setting; did you mean {near[0]}?" if near else f"unknown setting; known: {', '.join(known)}"
    elif kind == "missing":
        message = "must be set"
    elif kind.removesuffix("_type") in ("tuple", "list", "set", "dict", "model"):
        message += ", as JSON"
    return f"{variable}{place}: {message.removeprefix('Value error, ')}"


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"
