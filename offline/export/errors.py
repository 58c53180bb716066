"""What an export can fail with."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A format could not be made, or what was made is not faithful to the released model."""


class UsageError(ValueError):
    """The export cannot begin: an option, a model, a data folder or an installed package is not as it must be."""
