"""Keys in requests."""

from __future__ import annotations

import hashlib

from shiwu.chassis.errors import InvalidInputError

MAX_LENGTH = 128


def check_id(value: str, field: str) -> str:
    """The value, if it can be a key: 1 to 128 printable characters without white space."""
    if not value:
        msg = f"is empty; expected 1 to {MAX_LENGTH} printable characters without white space"
        raise InvalidInputError(msg, field=field)
    if len(value) > MAX_LENGTH:
        msg = f"has {len(value)} characters; expected at most {MAX_LENGTH}"
        raise InvalidInputError(msg, field=field)
    wrong = next((c for c in value if c.isspace() or not c.isprintable()), None)
    if wrong is not None:
        msg = f"contains {wrong!r}; expected printable characters without white space"
        raise InvalidInputError(msg, field=field)
    return value


def image_id(product_id: str, address: str) -> str:
    """A feed picture's id: the same in every feed, so that a picture that has changed there replaces its old self."""
    return "image-" + hashlib.sha256(f"{product_id}\0{address}".encode()).hexdigest()[:32]
