"""Wikitext as plain text."""

from __future__ import annotations

import re
from collections.abc import Collection

import mwparserfromhell
from mwparserfromhell.nodes import Tag, Wikilink

_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
"""Markup of Chinese wikis: -{zh-hans:软件; zh-hant:軟體}-."""
_SWITCHES = re.compile(r"__[A-Z]+__")
_HOLLOW = re.compile(r" *[(\uff08]\W*[)\uff09]")
"""Brackets that held nothing but templates."""
_SPACES = re.compile(r"[ \t\xa0]+")
_GAPS = re.compile(r" ?\n[ \n]*\n")


def plain(wikitext: str, hidden: Collection[str]) -> str:
    """The text that a reader sees, without templates, tables, references, pictures and categories.

    hidden: prefixes, lower case, of links to pictures and categories, as "file". Takes time that grows with the square
    of the text, or worse, where the markup is hostile: bound it.
    """
    code = mwparserfromhell.parse(_VARIANTS.sub(_variant, wikitext), skip_style_tags=True)
    # Emptied rather than removed: removing searches the whole page for each.
    for node in code.ifilter():
        if isinstance(node, Tag) and node.tag == "table":
            node.contents = ""
        elif isinstance(node, Wikilink) and str(node.title).partition(":")[0].strip().casefold() in hidden:
            node.title, node.text = "", None
    text = _SWITCHES.sub("", str(code.strip_code()).replace("'''", "").replace("''", ""))
    text = _HOLLOW.sub("", text)
    return _GAPS.sub("\n\n", _SPACES.sub(" ", text)).strip()


def _variant(found: re.Match[str]) -> str:
    """The simplified form, or the first, or the text that stands for all."""
    flags, bar, rest = found[1].rpartition("|")
    if bar and flags.strip() != "A":
        return ""  # rules and names of the page, which are not shown
    forms = dict(re.findall(r"(zh[\w-]*)\s*:\s*([^;]*)", rest))
    if not forms:
        return rest
    return str(
        next((forms[each] for each in ("zh-hans", "zh-cn") if each in forms), next(iter(forms.values())))
    ).strip()
