"""Category names in requests."""

from __future__ import annotations

from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError


def check_category(value: str, field: str) -> str:
    """The value, if it is a category."""
    if value not in CATEGORIES:
        msg = f"is {value!r}; expected one of {', '.join(CATEGORIES)}"
        raise InvalidInputError(msg, field=field)
    return value
