"""Pages of a STAC search, got as all services are asked here, and what they say of themselves.

pystac-client composes the request and walks. By itself it would take a page without items for the end,
follow links round in circles, and not look at the numbers that pages tell.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urljoin

from pystac_client.stac_api_io import StacApiIO

from eoscale.access import services
from eoscale.errors import CatalogError, IncompleteSearchError, scrub

_logger = logging.getLogger(__name__)
_STILL = 10
"""Pages in a row without an item that was not known: then a catalogue goes round in circles."""
Key: TypeAlias = tuple[str, str]
"""Collection and id of an item: ids are those of one collection."""


class Pages(StacApiIO):
    """The pages of one search, each item once; for :class:`pystac_client.ItemSearch` to go through.

    Parameters
    ----------
    most : int, optional
        How many items are wanted.
    """

    def __init__(self, most: int | None) -> None:
        super().__init__(max_retries=None)
        self.most = most
        self.received: dict[Key, Mapping[str, Any]] = {}
        self.told: set[int] = set()
        """Numbers of all items, as pages tell it."""
        self.short = ""
        """What a page says of its own number of items, where that is another."""
        self.more = False
        """Whether the last page leads to another one."""

    @property
    def items(self) -> dict[Key, Mapping[str, Any]]:
        """As many as are wanted, by collection and id."""
        return dict(list(self.received.items())[: self.most])

    @property
    def enough(self) -> bool:
        """Whether there are as many as are wanted."""
        return self.most is not None and len(self.received) >= self.most

    @property
    def truncated(self) -> bool:
        """Whether there are more than are wanted."""
        left = max(self.told) > len(self.items) if self.told else self.more
        return self.enough and (left or len(self.received) > len(self.items))

    @property
    def fault(self) -> str:
        """Why these are not all; empty if they are."""
        if self.told <= {len(self.received)}:
            return self.short
        told = " and ".join(f"{number:,}" for number in sorted(self.told))
        return f"it tells of {told} items and gives {len(self.received):,}"

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the answer to a GET. Headers that a link asks for are not sent: it may name any host."""
        if headers or (method or "GET").upper() != "GET":
            raise CatalogError(
                f"{scrub(href)} wants another request than a plain GET, which is all that is made"
            )
        named = [(name, str(value)) for name, value in (parameters or {}).items()]
        return services.get(href, named).body.decode(errors="replace")

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages that hold items; one without may lead to further ones."""
        href, asked, still = url, {url}, 0
        while True:
            page = self._page(href, method, parameters)
            known = len(self.received)
            self._note(page)
            _logger.info("%s has given %s items", scrub(url), f"{len(self.received):,}")
            still = 0 if len(self.received) > known else still + 1
            link = _next(page)
            self.more = link is not None
            if page["features"]:
                yield page
            if link is None:
                return
            href, method, parameters = urljoin(href, str(link.get("href") or "")), link.get("method"), None
            if href in asked or still > _STILL:
                raise IncompleteSearchError(
                    f"its pages go round in circles after {len(self.received):,} items"
                )
            asked.add(href)

    def _page(self, href: str, method: str | None, parameters: dict[str, Any] | None) -> dict[str, Any]:
        try:
            page = json.loads(self.request(href, method, None, parameters))
        except ValueError:
            page = None
        if not isinstance(page, dict) or not isinstance(page.get("features"), list):
            raise CatalogError(f"{scrub(href)} answers no page of items: is it the search of a STAC API?")
        return page

    def _note(self, page: Mapping[str, Any]) -> None:
        """Keep the items of a page, and what it says of their number."""
        context = page.get("context")
        inner = context if isinstance(context, Mapping) else {}
        matched = inner.get("matched", page.get("numberMatched"))
        returned = inner.get("returned", page.get("numberReturned"))
        if isinstance(matched, int):
            self.told.add(matched)
        number = len(page["features"])
        if isinstance(returned, int) and returned != number:
            self.short = f"a page tells of {returned:,} items and has {number:,}"
        for item in page["features"]:
            if not isinstance(item, Mapping) or not isinstance(item.get("id"), str):
                raise CatalogError(f"a page of items holds what is none: {item!r:.120}")
            self.received.setdefault((str(item.get("collection") or ""), item["id"]), item)


def _next(page: Mapping[str, Any]) -> Mapping[str, Any] | None:
    links = page.get("links")
    known = [link for link in links if isinstance(link, Mapping)] if isinstance(links, list) else []
    return next((link for link in known if link.get("rel") == "next"), None)
