"""What the standard methods have in common: pages, page tokens and update masks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from services.catalog.rules import Rule, facts
from shiwu.chassis.errors import InvalidInputError

R = TypeVar("R")

_DEFAULT_PAGE = 100
_LARGEST_PAGE = 1000
_DIGEST_BYTES = 8


async def one_page(
    request: Any, read: Callable[[str, int], Awaitable[Sequence[R]]], place: Callable[[R], str]
) -> tuple[Sequence[R], str]:
    """The rows that a list request asks for, and the token of the page after them ("" if there is none).

    read: (after, limit) -> rows. place: where a row stands, for a later `after`; the first page is after "".
    """
    size = _page_size(request)
    rows = await read(_after(request), size + 1)
    if len(rows) <= size:
        return rows, ""
    return rows[:size], _token(request, place(rows[size - 1]))


async def one_ranked_page(request: Any, read: Callable[[int, int], Awaitable[Sequence[R]]]) -> tuple[Sequence[R], str]:
    """As `one_page`, for rows in an order of no key: read takes (offset, limit)."""
    size, offset = _page_size(request), int(_after(request) or 0)
    rows = await read(offset, size + 1)
    return rows[:size], _token(request, str(offset + size)) if len(rows) > size else ""


def changes(request: Any, field: str, rules: Mapping[str, Rule], key: str) -> dict[str, Any]:
    """What an update request changes: the fields of its mask, or all but the key.

    field: the resource in the request. The key itself is checked too.
    """
    message = getattr(request, field)
    rules[key](getattr(message, key), f"{field}.{key}")
    changeable = [name for name in rules if name != key]
    paths = list(dict.fromkeys(request.update_mask.paths))
    if not paths or paths == ["*"]:
        return facts(message, field, rules, changeable)
    for path in paths:
        if path not in changeable:
            msg = f"{path!r} cannot be changed; expected some of {', '.join(changeable)}"
            raise InvalidInputError(msg, field="update_mask")
    return facts(message, field, rules, paths)


def given(request: Any, field: str) -> Any:
    """A message that a request must have."""
    if not request.HasField(field):
        msg = f"is missing; expected a {request.DESCRIPTOR.fields_by_name[field].message_type.name}"
        raise InvalidInputError(msg, field=field)
    return getattr(request, field)


def _page_size(request: Any) -> int:
    if not request.HasField("page_size"):
        return _DEFAULT_PAGE
    size = int(request.page_size)
    if not 1 <= size <= _LARGEST_PAGE:
        msg = f"is {size}; expected 1 to {_LARGEST_PAGE:,}"
        raise InvalidInputError(msg, field="page_size")
    return size


def _token(request: Any, place: str) -> str:
    return base64.urlsafe_b64encode(_digest(request, place) + place.encode()).decode().rstrip("=")


def _after(request: Any) -> str:
    """The place in a request's page token."""
    token = request.page_token
    if not token:
        return ""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        place = data[_DIGEST_BYTES:].decode()
    except (binascii.Error, ValueError):
        data, place = b"", ""
    if not place or data[:_DIGEST_BYTES] != _digest(request, place):
        msg = "is not one of this list; expected one that the same request without it has led to"
        raise InvalidInputError(msg, field="page_token")
    return place


def _digest(request: Any, place: str) -> bytes:
    """Of the place and what the token is good for: this list with these filters; the page's size may change."""
    paging = ("page_token", "page_size")
    filters = {field.name: str(value) for field, value in request.ListFields() if field.name not in paging}
    scope = json.dumps([request.DESCRIPTOR.full_name, filters, place], sort_keys=True)
    return hashlib.blake2b(scope.encode(), digest_size=_DIGEST_BYTES).digest()
