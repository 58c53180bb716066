"""`python -m offline.indexing.articles import FILE --catalog HOST:PORT`, then `link --catalog HOST:PORT`.

import: articles of a file (JSON lines or a MediaWiki XML dump; plain, gz or bz2) into the catalogue. What is as it was
is not written; a run that was stopped goes on where it was; what cannot be used is told in problems.jsonl.
link: the catalogue's articles to the products that they are about. Likely links are written, with their scores;
doubtful ones are kept for people in proposals.jsonl.

Exits with 1 when there were problems, with 2 when the job cannot be done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path

try:
    import mwparserfromhell  # noqa: F401 - the first of what the extra brings
except ModuleNotFoundError:
    print("offline.indexing.articles needs more packages: pip install 'shiwu[articles]'", file=sys.stderr)
    sys.exit(2)

from offline.indexing.articles.catalogue import Catalogue
from offline.indexing.articles.importing import import_file
from offline.indexing.articles.link_job import link_articles
from offline.indexing.articles.linking import RULE, read_rule
from offline.indexing.articles.reading import ReadSettings
from offline.review.queue import ReviewQueue
from shiwu.categories import CATEGORIES
from shiwu.chassis.channel import connect
from shiwu.chassis.errors import ServiceError
from shiwu.chassis.settings import ClientSettings, ClientTls
from shiwu.chassis.tls import TlsError


def main(arguments: list[str] | None = None) -> int:
    """Does what the command line says, and returns the exit code."""
    options = _options(arguments)
    try:
        return asyncio.run(_run(options))
    except (OSError, ValueError, ServiceError, TlsError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130


async def _run(options: argparse.Namespace) -> int:
    tls = ClientTls(ca=options.ca, certificate=options.cert, key=options.cert_key)
    key = options.key_file.read_text().strip() if options.key_file else ""
    if key and tls.ca is None and not options.catalog.startswith(("127.0.0.1:", "localhost:", "unix:")):
        msg = f"the key would travel to {options.catalog} in the clear; name the CA of its certificate with --ca"
        raise ValueError(msg)
    async with connect(ClientSettings(target=options.catalog, tls=tls)) as channel:
        command = _import if options.command == "import" else _link
        return await command(options, Catalogue(channel, key=key))


async def _import(options: argparse.Namespace, catalogue: Catalogue) -> int:
    settings = ReadSettings(namespaces=tuple(options.namespaces), category=options.category)
    folder = options.work or Path("build/articles") / options.file.name
    ledger = await import_file(options.file, catalogue, folder, settings)
    print(
        f"{ledger.records:,} records: " + ", ".join(f"{n:,} {what}" for what, n in sorted(ledger.counts.items()) if n)
    )
    if ledger.counts["problems"]:
        print(f"what was wrong: {ledger.problems}")
    return 1 if ledger.counts["problems"] else 0


async def _link(options: argparse.Namespace, catalogue: Catalogue) -> int:
    with ReviewQueue(options.review) if options.review else nullcontext() as queue:
        counts = await link_articles(catalogue, options.work, read_rule(options.rule), queue)
    print(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    print(f"links with their reasons, and proposals: {options.work}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    reached = argparse.ArgumentParser(add_help=False)
    reached.add_argument("--catalog", required=True, help="the catalog service, host:port")
    reached.add_argument("--key-file", type=Path, help="file with an API key or token of scope catalog:write")
    reached.add_argument("--ca", type=Path, help="TLS, with a server of this CA")
    reached.add_argument("--cert", type=Path, help="our own certificate")
    reached.add_argument("--cert-key", type=Path, help="its key")
    parser = argparse.ArgumentParser(
        prog="python -m offline.indexing.articles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, dest="command")
    imports = commands.add_parser("import", parents=[reached], help="bring a file's articles into the catalogue")
    imports.add_argument("file", type=Path)
    imports.add_argument("--work", type=Path, help="folder of progress and problems; unset: build/articles/FILE")
    imports.add_argument("--namespaces", type=int, nargs="+", default=[0], help="of a dump; 0 are the articles")
    imports.add_argument("--category", choices=CATEGORIES, default="", help="of articles that name none")
    links = commands.add_parser("link", parents=[reached], help="link the catalogue's articles to its products")
    links.add_argument("--work", type=Path, default=Path("build/articles/links"), help="folder of links and proposals")
    links.add_argument("--review", help="URL of the review queue, as sqlite:///review.sqlite; unset: none")
    links.add_argument("--rule", type=Path, default=RULE, help="weights and thresholds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
