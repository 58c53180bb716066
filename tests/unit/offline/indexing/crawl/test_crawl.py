"""A crawl of a real site: what is found, what is left alone, and what a kill costs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from offline.indexing.crawl.__main__ import main
from tests.unit.offline.indexing.crawl.shop import Reply, Shop, page, product

ROOT = Path(__file__).parents[5]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop().running() as running:
        yield running


def written(shop: Shop, folder: Path, **options: Any) -> Path:
    site = {"url": f"{shop.url}/", "merchant": "Shop", "delay_seconds": 0.0, "max_page_bytes": 200_000, "max_depth": 4}
    site |= {name: options.pop(name) for name in [*options] if name in ("max_pages", "max_variants", "max_depth")}
    sites = {"contact": "crawl@shiwu.example", "sites": [site], "timeout_seconds": 0.5, "attempts": 2} | options
    path = folder / "sites.yaml"
    path.write_text(yaml.safe_dump(sites))
    return path


def command(sites: Path, out: Path) -> list[str]:
    return [str(sites), "--out", str(out), "--allow-network", "127.0.0.1/32"]


def crawled(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path, **options: Any) -> dict[str, Any]:
    """Crawls in this process; the site's report."""
    monkeypatch.setattr(sys, "argv", ["crawl", *command(written(shop, tmp_path, **options), tmp_path / "out")])
    main()
    [report] = json.loads((tmp_path / "out/report.json").read_text())
    return report


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def skipped(tmp_path: Path, shop: Shop) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in lines(tmp_path / "out/skipped.jsonl"):
        found.setdefault(each["url"].removeprefix(shop.url), []).append(each["reason"].replace(shop.url, ""))
    return found


def test_a_shop_becomes_a_feed_and_a_report(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path):
    report = crawled(monkeypatch, shop, tmp_path)
    name = shop.host.replace(":", "_")
    rows = {row["title"]: row for row in lines(tmp_path / f"out/{name}.jsonl")}
    [plain] = lines(tmp_path / f"out/{name}.unsorted.jsonl")
    names = "Trail Runner;Tote;Blocks;Shirt, red;Shirt, blue;Lamp;Half;No number;Rescued;Linked;Busy"
    assert sorted(rows) == sorted(names.split(";"))
    runner = rows["Trail Runner"]
    assert runner.pop("product_id").startswith("crawl-")
    assert runner == {
        "title": "Trail Runner",
        "category": "shoes",
        "brand": "Acme",
        "gtin": "4006381333931",
        "description": "For the trail.",
        "images": [f"{shop.url}/img/1.png", "https://cdn.example/1b.png"],
        "merchant": "Shop",
        "url": f"{shop.url}/p/shoes",
        "price": "89.9",
        "currency": "EUR",
        "available": True,
    }
    facts = {title: (row["category"], row.get("price"), row.get("available")) for title, row in rows.items()}
    assert facts["Tote"] == ("bags", "25.00", True)
    assert rows["Tote"]["images"] == [f"{shop.url}/img/2.png"]
    assert facts["Blocks"] == ("toys", "12.50", False)
    assert facts["Shirt, red"] == ("clothing", "30", True)
    assert facts["Shirt, blue"] == ("clothing", "31", True)
    assert rows["Shirt, red"]["style_id"] == rows["Shirt, blue"]["style_id"]
    assert (rows["Shirt, red"]["style_title"], rows["Shirt, red"]["brand"]) == ("Shirt", "Acme")
    assert facts["Lamp"] == ("furniture", "45.00", True)
    assert rows["No number"]["url"] == f"{shop.url}/p/own-name"
    assert (plain["title"], "category" in plain) == ("Thing", False)

    why = skipped(tmp_path, shop)
    assert why["/private/secret"] == ["is forbidden by robots.txt"]
    assert why["https://other.example/"] == ["is on another host: other.example"]
    assert why["https://other.example/sitemap.xml"] == ["is on another host: other.example"]
    assert why["/to-private"] == ["redirects: to http://10.0.0.1/admin, which is on another host: 10.0.0.1"]
    assert why["http://10.0.0.1/admin"] == ["is on another host: 10.0.0.1"]
    assert why["/huge"] == ["is larger than 200,000 bytes"]
    assert why["/slow"] == ["did not answer within 0.5 s"]
    assert why["/table.csv"] == ["is no page by its name"]
    assert why["/text"] == ["is no HTML: text/plain"]
    assert why["/nowhere"] == why["/p/gone"] == ["was answered with status 404"]
    assert why["/broken.xml"][0].startswith("is a sitemap that cannot be read: is not well-formed XML")
    assert why["/p/half"][0].startswith("holds JSON-LD that is no JSON")
    assert why["/p/broken"][0].startswith("holds JSON-LD that is no JSON")
    assert why["/p/kept-out"] == ["asks robots not to keep it"]
    assert why["/p/no-picture"] == ["has a product without a picture: 'Bare'"]
    assert why["/p/forbidden-picture"] == ["has no picture that robots.txt lets us fetch: 'Hidden'"]
    assert why["/p/again"] == ["has the same product as another page: /p/shoes"]
    assert why["/calendar?day=5"] == ["is more than 4 links away"]
    assert "/p/unseen" not in why

    assert (report["products"], report["unsorted"], report["whole"], report["stopped"]) == (11, 1, False, "")
    assert sum(report["skipped"].values()) == sum(map(len, why.values()))
    asked = {path: count for path, count in shop.hits.items() if path not in ("/busy", "/slow")}
    assert set(asked.values()) == {1}
    assert (shop.hits["/busy"], shop.hits["/slow"]) == (2, 2)
    never = ("/private/secret", "/private/8.png", "/p/unseen", "/table.csv", "/img/1.png", "/p/shoes?utm_source=home")
    assert not any(shop.hits[path] for path in never)
    assert shop.agents == {"shiwu-crawler/1 (+crawl@shiwu.example)"}


def test_a_site_without_flaws_is_crawled_whole(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path):
    shop.replies = {"/": Reply(page(product("A", sku="1"), links=("/b",))), "/b": Reply(page(product("B", sku="2")))}
    report = crawled(monkeypatch, shop, tmp_path)
    assert (report["products"], report["whole"], report["missed"]) == (2, True, 0)
    assert report["skipped"] == {"was answered with status 404": 1}  # /sitemap.xml: there is none


def test_product_ids_are_the_same_in_the_next_crawl(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path):
    feeds = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        crawled(monkeypatch, shop, tmp_path / run)
        feeds.append((tmp_path / run / "out" / f"{shop.host.replace(':', '_')}.jsonl").read_bytes())
    assert feeds[0] == feeds[1]


def test_limits_of_pages_and_variants(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path):
    report = crawled(monkeypatch, shop, tmp_path, max_variants=3, max_depth=50, max_pages=40)
    assert sum(count for path, count in shop.hits.items() if path.startswith("/calendar")) == 3
    assert report["skipped"]["is beyond the 3 addresses that differ only behind a '?'"] == 1
    assert report["asked"] == 40
    assert report["skipped"]["is beyond the 40 pages that may be asked for"] > 0
    assert not report["whole"]


def test_the_delay_of_robots_txt_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with Shop(delay=0.1).running() as shop:
        crawled(monkeypatch, shop, tmp_path, max_pages=10)
    between = [after - before for before, after in zip(shop.times, shop.times[1:], strict=False)]
    assert len(between) == 10
    assert min(between) >= 0.1


@pytest.mark.parametrize(
    ("robots", "stopped"),
    [
        (Reply(status=500), "robots.txt was answered with status 500"),
        (Reply(status=429), "robots.txt was answered with status 429"),
        (Reply(b"x", seconds=2.0), "robots.txt cannot be had: TimeoutError"),
        (Reply(b"User-agent: shiwu-crawler\nCrawl-delay: 4000\n"), "robots.txt asks for 4,000 s between pages"),
    ],
)
def test_a_site_whose_rules_are_not_known_or_too_strict_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path, robots: Reply, stopped: str
):
    shop.replies["/robots.txt"] = robots
    report = crawled(monkeypatch, shop, tmp_path)
    assert (report["stopped"], report["asked"], report["whole"]) == (stopped, 0, False)
    assert list(shop.hits) == ["/robots.txt"]


def test_our_own_group_of_robots_txt_counts(monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path):
    shop.replies["/robots.txt"] = Reply(b"User-agent: *\nAllow: /\n\nUser-agent: shiwu-crawler\nDisallow: /\n")
    report = crawled(monkeypatch, shop, tmp_path)
    assert report["asked"] == 0
    assert list(shop.hits) == ["/robots.txt"]


def test_private_addresses_are_reached_only_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path
):
    sites = written(shop, tmp_path)
    monkeypatch.setattr(sys, "argv", ["crawl", str(sites), "--out", str(tmp_path / "out")])
    assert main() == 1
    [report] = json.loads((tmp_path / "out/report.json").read_text())
    assert report["stopped"].endswith("is at 127.0.0.1, which is not a public address")
    assert not shop.hits


def test_a_site_that_stops_answering_is_left_alone_and_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path
):
    good = dict(shop.replies)
    shop.replies = {path: Reply(status=500) for path in good} | {"/robots.txt": good["/robots.txt"]}
    shop.replies |= {path: good[path] for path in ("/sitemap-index.xml", "/sitemap-1.xml.gz")}
    report = crawled(monkeypatch, shop, tmp_path, failures=3, attempts=1)
    assert report["stopped"] == "the site did not answer 3 times in a row"
    shop.replies = good
    report = crawled(monkeypatch, shop, tmp_path, failures=3, attempts=1)
    assert report["stopped"] == ""
    assert report["products"] > 5
    assert shop.hits["/robots.txt"] == 1


def test_robots_txt_is_asked_for_again_when_it_is_a_day_old(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, tmp_path: Path
):
    crawled(monkeypatch, shop, tmp_path)
    with sqlite3.connect(tmp_path / "out/crawl.db") as database:
        database.execute("UPDATE sites SET robots_time = robots_time - 100000")
        database.execute("UPDATE addresses SET state = 'waiting' WHERE url LIKE '%/p/tote' OR url LIKE '%/p/lamp'")
    database.close()
    shop.hits.clear()
    shop.replies["/robots.txt"] = Reply(b"User-agent: *\nDisallow: /p/lamp\n")
    crawled(monkeypatch, shop, tmp_path)
    assert shop.hits == {"/robots.txt": 1, "/p/tote": 1}
    assert skipped(tmp_path, shop)["/p/lamp"] == ["is forbidden by robots.txt"]


@pytest.mark.parametrize(
    ("sites", "problem"),
    [
        ({"sites": [{"url": "https://a.example", "merchant": "A"}]}, "contact"),
        ({"contact": "nobody", "sites": [{"url": "https://a.example", "merchant": "A"}]}, "is no contact"),
        ({"contact": "a@b.example", "sites": []}, "at least 1"),
        (
            {"contact": "a@b.example", "sites": [{"url": "ftp://a.example", "merchant": "A"}]},
            "not the address of a site",
        ),
        ({"contact": "a@b.example", "sites": [{"url": "https://a.example", "merchant": "A"}] * 2}, "more than once"),
        ({"contact": "a@b.example", "sites": [{"url": "https://a.example", "merchant": "A", "x": 1}]}, "x"),
        (
            {"contact": "a@b.example", "sites": [{"url": "https://a.example", "merchant": "A", "category": "cars"}]},
            "cars",
        ),
    ],
)
def test_bad_lists_of_sites(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, sites: object, problem: str):
    (tmp_path / "sites.yaml").write_text(yaml.safe_dump(sites))
    monkeypatch.setattr(sys, "argv", ["crawl", str(tmp_path / "sites.yaml"), "--out", str(tmp_path / "out")])
    assert main() == 2
    assert problem in capsys.readouterr().err


def test_a_folder_of_another_crawl_is_refused(monkeypatch: pytest.MonkeyPatch, capsys, shop: Shop, tmp_path: Path):
    crawled(monkeypatch, shop, tmp_path, max_pages=3)
    sys.argv[1:] = command(written(shop, tmp_path, max_pages=4), tmp_path / "out")
    assert main() == 2
    assert "holds a crawl of other sites or limits" in capsys.readouterr().err


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}


@pytest.mark.slow
def test_a_killed_crawl_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with Shop(delay=0.05).running() as shop:
        sites = written(shop, tmp_path)
        arguments = [sys.executable, "-m", "offline.indexing.crawl", *command(sites, tmp_path / "out")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        kills = 0
        for hits in (3, 9, 17, 26, 34):
            process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
            end = time.monotonic() + 60
            while shop.hits.total() < hits:
                assert process.poll() is None, "it ended too early"
                assert time.monotonic() < end, "it took too long"
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
        repeated = {path: count for path, count in shop.hits.items() if count > 1}
        killed = outputs(tmp_path / "out")
        shop.hits.clear()
        (tmp_path / "again").mkdir()
        crawled(monkeypatch, shop, tmp_path / "again")
        assert outputs(tmp_path / "again/out") == killed
    # Beside those that are tried again anyway only the page under way is asked for twice.
    assert len(repeated.keys() - {"/busy", "/slow"}) <= kills
    assert all(count <= 2 for path, count in repeated.items() if path not in ("/busy", "/slow"))
