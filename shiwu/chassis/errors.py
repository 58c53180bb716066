"""The errors that a service raises. The server maps them to status codes, the client maps status codes to them."""

from __future__ import annotations


class ServiceError(Exception):
    """Something that the caller is told. Anything else that escapes a service is a bug."""


class InvalidInputError(ServiceError):
    """The request is wrong, and stays wrong when repeated."""

    def __init__(self, message: str, *, field: str = "") -> None:
        """message: what was wrong and what is expected. field: path of the field in the request, as in the .proto."""
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class UnauthenticatedError(ServiceError):
    """Nobody knows who calls: no key, token or certificate, or one that is not valid."""


class PermissionDeniedError(ServiceError):
    """It is known who calls, and that they may not do this."""


class NotFoundError(ServiceError):
    """What the request names does not exist."""


class AlreadyExistsError(ServiceError):
    """What the request would create exists."""


class PreconditionError(ServiceError):
    """The system is not in the state that the request needs; repeating it does not help until that changes."""


class OverloadedError(ServiceError):
    """Too much is asked at once; later it may work."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """retry_after: seconds after which to try again, if known."""
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(ServiceError):
    """Something that is needed does not answer; trying again may help."""


class DeadlineError(ServiceError):
    """The caller's time is up."""
