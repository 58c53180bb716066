"""Measured sections of the documentation's pages: each stands between two marks and is written by its command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->`. Raises ValueError if they are not there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        msg = f"{page} has no section between {begin.strip()} and {end.strip()}"
        raise ValueError(msg)
    page.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n\n{end}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [_line(head), "|---" * len(head) + "|", *map(_line, rows)]


def block(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as one text."""
    return "\n".join(table(head, rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
