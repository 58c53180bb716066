"""A merchant's web server with pictures, which counts what it is asked and what it sends."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PictureServer:
    """Serves a folder. Which validators it names can be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etags = True
        self.dates = False
        self.redirects: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.age = 3600.0
        """Seconds by which files are older than their Date."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if target := self.redirects.get(handler.path):
            handler.send_response(302)
            self.statuses[302] += 1
            handler.send_header("location", target)
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        data = (self.folder / handler.path.lstrip("/")).read_bytes()
        names = {}
        if self.etags:
            names["etag"] = f'"{hashlib.md5(data).hexdigest()}"'
        if self.dates:
            names["last-modified"] = formatdate(1.7e9, usegmt=True)
        asked = handler.headers.get("if-none-match"), handler.headers.get("if-modified-since")
        same = names and (names.get("etag"), names.get("last-modified")) == asked
        self.statuses[304 if same else 200] += 1
        handler.send_response_only(304 if same else 200)
        handler.send_header("date", formatdate(1.7e9 + self.age, usegmt=True))
        for name, value in names.items():
            handler.send_header(name, value)
        handler.send_header("content-type", "image/png")
        handler.send_header("content-length", "0" if same else str(len(data)))
        handler.end_headers()
        if not same:
            handler.wfile.write(data)

    @contextmanager
    def running(self) -> Iterator[PictureServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
