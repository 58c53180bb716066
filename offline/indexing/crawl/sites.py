"""What is crawled, and within which limits."""

from __future__ import annotations

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shiwu.categories import CATEGORIES

ROBOT: Final = "shiwu-crawler"
"""What robots.txt files call us."""


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        msg = f"{value!r} is not the address of a site; expected one like https://shop.example/"
        raise ValueError(msg)
    return value


def _category(value: str) -> str:
    if value not in ("", *CATEGORIES):
        msg = f"{value!r} is not a category; expected one of {', '.join(CATEGORIES)}"
        raise ValueError(msg)
    return value


def _contact(value: str) -> str:
    if not (value.isascii() and value.isprintable()) or not ("@" in value or value.startswith(("http://", "https://"))):
        msg = f"{value!r} is no contact; expected a web or mail address that a site's operator can write to"
        raise ValueError(msg)
    return value


class Site(BaseModel):
    """A shop, and how it is crawled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(_address)]
    """Where to begin. Only this host is crawled."""
    merchant: str = Field(min_length=1, max_length=200)
    category: Annotated[str, AfterValidator(_category)] = ""
    """Of products whose page does not tell theirs; empty: they are written to a file of their own."""
    delay_seconds: float = Field(1.0, ge=0.0)
    """Between an answer and the next request; robots.txt may ask for more."""
    max_pages: int = Field(10_000, ge=1)
    """Addresses that are asked for, sitemaps among them."""
    max_depth: int = Field(6, ge=0)
    """Links between the start, or a page of a sitemap, and a page."""
    max_variants: int = Field(100, ge=1)
    """Addresses that differ only behind the question mark: calendars and filters have no end of them."""
    max_page_bytes: int = Field(5 << 20, ge=1)
    max_sitemap_bytes: int = Field(50 << 20, ge=1)
    """Unpacked."""

    @property
    def host(self) -> str:
        """Name and port."""
        return urlsplit(self.url).netloc.lower()


class Sites(BaseModel):
    """A crawl."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contact: Annotated[str, AfterValidator(_contact)]
    """Sent with each request, for those who want to ask us to stop."""
    sites: tuple[Site, ...] = Field(min_length=1)
    timeout_seconds: float = Field(20.0, gt=0.0)
    """For one request."""
    attempts: int = Field(3, ge=1)
    """Tries of a page that a site is too busy for."""
    longest_wait_seconds: float = Field(300.0, gt=0.0)
    """A site that asks to wait longer before another try, or between pages, is left alone."""
    failures: int = Field(10, ge=1)
    """After so many pages in a row that were not answered the site is left alone for now."""

    @property
    def user_agent(self) -> str:
        return f"{ROBOT}/1 (+{self.contact})"

    @model_validator(mode="after")
    def _each_host_once(self) -> Self:
        hosts = [site.host for site in self.sites]
        if twice := sorted({host for host in hosts if hosts.count(host) > 1}):
            msg = f"{', '.join(twice)} is named more than once; expected each host once, or it would be asked too often"
            raise ValueError(msg)
        return self
