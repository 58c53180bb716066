"""Google's product feeds as XML: the items of RSS 2.0 and the entries of Atom, as rows.

Elements of Google's namespace are the columns; plain title, link and description stand in for those that are missing.
An address of a further picture is an element of its own; of product_type, which may be repeated, the first counts.

What is not well-formed cannot be read on after it, so unlike a bad line it ends the whole feed: the first pass over it
(feed_survey.py) finds that out before anything is imported. A document type declaration is refused, and with it all
entities but XML's own five: no feed needs one, and "billion laughs" and foreign files come by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final
from xml.parsers.expat import ExpatError, ParserCreate

from services.catalog.feed_lines import FeedError
from services.catalog.feed_records import Record, Value, checked, column_name, row_problem
from services.catalog.resources import RowProblem

_GOOGLE: Final = "http://base.google.com/ns/1.0"
_ATOM: Final = "http://www.w3.org/2005/Atom"
_ITEMS: Final = (("rss", "channel", "item"), (f"{_ATOM} feed", f"{_ATOM} entry"))
_ATOM_COLUMNS: Final = {"title": "title", "summary": "description", "content": "description"}
_FIRST_COUNTS: Final = frozenset({"product_type", "google_product_category"})
_LISTS: Final = frozenset({"additional_image_link", "images"})
_CHUNK: Final = 1 << 16
_MOST: Final = 1 << 20
"""Characters of an item, bytes of a tag: what has no end must not fill the memory."""
_DEEPEST: Final = 100
"""Elements within each other; feeds have five."""


def check_root(file: IO[bytes]) -> None:
    """Raises FeedError if this is not XML, or neither RSS nor Atom."""
    items = _Items()
    while not items.rooted and (chunk := file.read(_CHUNK)):
        items.feed(chunk)
    if not items.rooted:
        items.close()


def read_items(file: IO[bytes]) -> Iterator[Record | RowProblem]:
    """The items in their order; a row's line is the one that its item begins in. Raises FeedError."""
    items = _Items()
    while chunk := file.read(_CHUNK):
        items.feed(chunk)
        yield from items.take()
    items.close()
    yield from items.take()


class _Items:
    """Collects items while expat reads."""

    def __init__(self) -> None:
        self.rooted = False
        """Whether the root element has been read, and is a feed's."""
        self._fed = 0
        self._found: list[Record | RowProblem] = []
        self._path: list[str] = []
        self._item = 0
        """Elements around the columns of the item at hand; 0 between items."""
        self._line = 0
        self._size = 0
        self._columns: dict[str, list[str]] = {}
        self._plain: dict[str, list[str]] = {}
        """Columns that count where Google's are missing."""
        self._text: list[str] | None = None
        """Of the column at hand."""
        parser = self._parser = ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def feed(self, chunk: bytes) -> None:
        self._parse(chunk)
        self._fed += len(chunk)
        if self._fed - max(self._parser.CurrentByteIndex, 0) > _MOST + _CHUNK:
            msg = f"a tag or comment near line {self._parser.CurrentLineNumber} is longer than {_MOST:,} bytes"
            raise FeedError(msg)

    def close(self) -> None:
        self._parse(b"", end=True)

    def take(self) -> list[Record | RowProblem]:
        """The items that have ended since the last call."""
        found, self._found = self._found, []
        return found

    def _parse(self, chunk: bytes, *, end: bool = False) -> None:
        try:
            self._parser.Parse(chunk, end)
        except (ExpatError, LookupError, ValueError) as error:
            hint = ""
            if isinstance(error, ExpatError) and "prefix" in str(error):
                hint = f'; the root element should say xmlns:g="{_GOOGLE}"'
            elif not isinstance(error, ExpatError):
                hint = "; expected UTF-8, UTF-16 or an encoding with a byte for each character"
            msg = f"the feed is not well-formed XML: {error}{hint}"
            raise FeedError(msg) from error

    def _refuse_doctype(self, *_: object) -> None:
        msg = f"the feed has a document type declaration, in line {self._parser.CurrentLineNumber}; expected none"
        raise FeedError(msg)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name not in ("rss", f"{_ATOM} feed"):
            msg = f"the root element is <{name.rpartition(' ')[2][:100]}>; expected RSS's <rss>, or <feed> of {_ATOM}"
            raise FeedError(msg)
        self.rooted = True
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            msg = f"elements lie within each other more than {_DEEPEST} deep in line {self._parser.CurrentLineNumber}"
            raise FeedError(msg)
        if self._item and len(self._path) == self._item + 1:
            self._text = []
            self._size += len(name)
            if name == f"{_ATOM} link" and attributes.get("rel", "alternate") == "alternate":
                self._text.append(attributes.get("href", ""))
        elif not self._item and tuple(self._path) in _ITEMS:
            self._item, self._line, self._size = len(self._path), self._parser.CurrentLineNumber, 0
            self._columns, self._plain = {}, {}

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._size += len(text)
            if self._size <= _MOST:
                self._text.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        if self._text is not None and len(self._path) == self._item:
            text, self._text = "".join(self._text).strip(), None
            if text and self._size <= _MOST:
                self._column(name, text)
        elif self._item and len(self._path) == self._item - 1:
            self._found.append(self._row())
            self._item = 0

    def _column(self, name: str, text: str) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace == _GOOGLE:
            self._columns.setdefault(column_name(local), []).append(text)
        elif not namespace:
            self._plain.setdefault(column_name(local), []).append(text)
        elif namespace == _ATOM and local == "link":
            self._plain.setdefault(local, [text])  # others are other languages' and formats'
        elif namespace == _ATOM and local in _ATOM_COLUMNS:
            self._plain.setdefault(_ATOM_COLUMNS[local], []).append(text)

    def _row(self) -> Record | RowProblem:
        if self._size > _MOST:
            return row_problem(self._line, "", f"the item is longer than {_MOST:,} characters")
        columns = self._plain | self._columns
        return checked(Record(self._line, {column: _value(column, texts) for column, texts in columns.items()}))


def _value(column: str, texts: list[str]) -> Value:
    if column in _LISTS:
        return texts
    return texts[0] if len(texts) == 1 or column in _FIRST_COUNTS else texts
