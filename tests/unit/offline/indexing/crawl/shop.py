"""A shop's web site: a real server, with everything that a crawler meets."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


def png(seed: int) -> bytes:
    pixels = np.full((120, 160, 3), 255, np.uint8)
    noise = np.random.default_rng(seed).integers(0, 200, (4, 4, 3), np.uint8)
    pixels[30:90, 40:120] = cv2.resize(noise, (80, 60), interpolation=cv2.INTER_NEAREST)
    return bytes(cv2.imencode(".png", pixels)[1])


def page(*data: object, links: tuple[str, ...] = (), head: str = "", body: str = "") -> bytes:
    scripts = "".join(
        f'<script type="application/ld+json">{each if isinstance(each, str) else json.dumps(each)}</script>'
        for each in data
    )
    anchors = "".join(f'<a href="{link}">link</a>' for link in links)
    return f"<!doctype html><html><head>{head}{scripts}</head><body>{anchors}{body}</body></html>".encode()


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def offer(price: object, currency: str = "EUR", stock: str = "https://schema.org/InStock") -> dict[str, object]:
    return {"@type": "Offer", "price": price, "priceCurrency": currency, "availability": stock}


SHOES = {
    "@context": "https://schema.org",
    "@type": "Product",
    "name": "Trail  Runner",
    "sku": "TR-1",
    "brand": {"@type": "Brand", "name": "Acme"},
    "category": "Apparel & Accessories > Shoes",
    "gtin13": "4006381333931",
    "image": ["/img/1.png", "https://cdn.example/1b.png"],
    "description": "For\nthe trail.",
    "offers": offer(89.9),
}
GRAPH = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebSite", "name": "Shop"},
        {
            "@type": "BreadcrumbList",
            "itemListElement": [
                {"@type": "ListItem", "position": 2, "item": {"@id": "/bags", "name": "Bags"}},
                {"@type": "ListItem", "position": 1, "name": "Home"},
            ],
        },
        {
            "@type": ["Product"],
            "name": "Tote",
            "mpn": 77,
            "image": {"@type": "ImageObject", "contentUrl": "img/2.png"},
            "offers": {
                "@type": "AggregateOffer",
                "lowPrice": "19",
                "priceCurrency": "EUR",
                "offers": [offer("25.00"), offer("1.029,50"), offer("21.00", stock="http://schema.org/OutOfStock")],
            },
            "isRelatedTo": {"@type": "Product", "name": "Not this one", "image": "/img/9.png"},
        },
    ],
}
ARRAY = [
    {"@type": "Organization", "name": "Shop"},
    {
        "@type": "http://schema.org/Product",
        "name": "Blocks",
        "productID": "B3",
        "category": ["Toys", "Wood"],
        "image": "/img/3.png",
        "offers": [
            {
                "@type": "Offer",
                "priceSpecification": {"price": "12,50", "priceCurrency": "EUR"},
                "availability": "SoldOut",
            }
        ],
    },
]
VARIANTS = {
    "@type": "ProductGroup",
    "name": "Shirt",
    "productGroupID": "S",
    "category": "Clothing",
    "brand": "Acme",
    "offers": {"@type": "AggregateOffer", "lowPrice": 30, "priceCurrency": "EUR"},
    "hasVariant": [
        {"@type": "Product", "name": "Shirt, red", "sku": "S-R", "image": "/img/4.png"},
        {"@type": "Product", "name": "Shirt, blue", "sku": "S-B", "image": "/img/5.png", "offers": offer("31")},
    ],
}
MICRODATA = """<div itemscope itemtype="https://schema.org/Product"><h1 itemprop="name">Lamp</h1>
<img itemprop="image" src="/img/6.png"><span itemprop="category">Furniture</span>
<div itemprop="offers" itemscope itemtype="https://schema.org/Offer"><meta itemprop="price" content="45.00">
<meta itemprop="priceCurrency" content="EUR"><link itemprop="availability" href="https://schema.org/InStock"></div></div>"""


def product(name: str, image: str = "/img/7.png", **more: object) -> dict[str, object]:
    return {"@type": "Product", "name": name, "image": image, "category": "Toys", "offers": offer(5)} | more


class Shop:
    """Counts what it is asked, and when."""

    def __init__(self, *, delay: float = 0.0) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.reply(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self.hits: Counter[str] = Counter()
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.replies = self._site(delay)

    def _site(self, delay: float) -> dict[str, Reply]:
        robots = "User-agent: *\nDisallow: /private/\n" + (f"Crawl-delay: {delay}\n" if delay else "")
        robots += f"Sitemap: {self.url}/sitemap-index.xml\n"
        maps = [f"{self.url}/sitemap-1.xml.gz", f"{self.url}/broken.xml", "https://other.example/sitemap.xml"]
        listed = ["shoes", "tote", "blocks", "shirt", "lamp", "half", "broken", "kept-out", "no-picture", "plain"]
        listed += ["again", "forbidden-picture", "hash", "gone"]
        ns = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        urls = "".join(f"<url><loc>{self.url}/p/{name}</loc></url>" for name in listed)
        index = "".join(f"<sitemap><loc>{each}</loc></sitemap>" for each in maps)
        links = ("/p/shoes?utm_source=home", "/p/linked", "/private/secret", "/calendar?day=1", "/deep/1", "/slow")
        links += (
            "/to-private",
            "/huge",
            "/busy",
            "/table.csv",
            "https://other.example/",
            "mailto:a@b.example",
            "/text",
        )
        links += ("/no-follow", "/nowhere")
        xml = "application/xml"
        return {
            "/robots.txt": Reply(robots.encode(), kind="text/plain"),
            "/sitemap-index.xml": Reply(f"<sitemapindex {ns}>{index}</sitemapindex>".encode(), kind=xml),
            "/sitemap-1.xml.gz": Reply(
                gzip.compress(f"<urlset {ns}>{urls}</urlset>".encode()), kind="application/gzip"
            ),
            "/broken.xml": Reply(f"<urlset {ns}><url><loc>{self.url}/p/rescued</loc></url><url>".encode(), kind=xml),
            "/": Reply(page(links=links)),
            "/p/shoes": Reply(page(SHOES)),
            "/p/tote": Reply(page(GRAPH, head='<base href="/">')),
            "/p/blocks": Reply(page(ARRAY)),
            "/p/shirt": Reply(page(VARIANTS)),
            "/p/lamp": Reply(page(body=MICRODATA)),
            "/p/half": Reply(page('{"@type": "Product", "name": ', product("Half", sku="H"))),
            "/p/broken": Reply(page('{"@type": "Product", "name": "Broken", image: }')),
            "/p/kept-out": Reply(page(product("Kept out"), head='<meta name="robots" content="noindex">')),
            "/p/no-picture": Reply(page(product("Bare", image=""))),
            "/p/plain": Reply(page(product("Thing", category=None, sku="P"))),
            "/p/again": Reply(page(SHOES)),
            "/p/forbidden-picture": Reply(page(product("Hidden", image="/private/8.png"))),
            "/p/hash": Reply(page(product("No number"), head=f'<link rel="canonical" href="{self.url}/p/own-name">')),
            "/p/rescued": Reply(page(product("Rescued", sku="R"))),
            "/p/linked": Reply(page(product("Linked", sku="L"))),
            "/private/secret": Reply(page(product("Secret", sku="X"))),
            "/slow": Reply(page(product("Slow", sku="SL")), seconds=3.0),
            "/to-private": Reply(status=302, headers={"location": "http://10.0.0.1/admin"}),
            "/huge": Reply(page(product("Huge", sku="HU"), body="x" * 300_000)),
            "/busy": Reply(page(product("Busy", sku="BU"))),
            "/text": Reply(b"text", kind="text/plain"),
            "/no-follow": Reply(page(links=("/p/unseen",)), headers={"x-robots-tag": "nofollow"}),
            "/p/unseen": Reply(page(product("Unseen", sku="U"))),
            **{f"/img/{n}.png": Reply(png(n), kind="image/png") for n in range(10)},
        }

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.hits[path] += 1
        self.times.append(time.monotonic())
        self.agents.add(handler.headers.get("user-agent", ""))
        if path.startswith("/calendar"):  # has no end
            answer = Reply(page(links=(f"/calendar?day={int(path.partition('=')[2]) + 1}",)))
        elif path.startswith("/deep/"):
            answer = Reply(page(links=(f"{path}/1", f"{path}/2")))
        elif path == "/busy" and self.hits[path] == 1:
            answer = Reply(status=503, headers={"retry-after": "0"})
        else:
            answer = self.replies.get(path, Reply(status=404))
        time.sleep(answer.seconds)
        try:
            handler.send_response(answer.status)
            handler.send_header("content-type", answer.kind)
            handler.send_header("content-length", str(len(answer.body)))
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:  # the crawler has gone
            pass

    @contextmanager
    def running(self) -> Iterator[Shop]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
