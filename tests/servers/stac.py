"""STAC APIs that refuse all that they do not document: one as ESA MAAP's, one as that of Copernicus."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import eq, ge, gt, le, lt
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

import shapely

from tests.servers.logins import Service, bearer, said
from tests.servers.redirects import Answer, Asked, Host

Item = dict[str, Any]
Page = dict[str, Any]
OPEN = ("EarthCAREL1Validated_MAAP", "EarthCAREL2Validated_MAAP", "JAXAL2Validated_MAAP")
CLOSED = ("EarthCAREL1InstChecked_MAAP", "EarthCAREL2InstChecked_MAAP", "EarthCAREL2Products_MAAP")
TOKENS = "https://iam.ascend.icsgate.eu/realms/esa-maap/.well-known/openid-configuration"
"""That real items of ESA MAAP name, and that is none of its services."""
DATA = "https://catalog.maap.eo.esa.int/data"
_DAY = "%Y-%m-%dT%H:%M:%S"
_COMPARED = {"=": eq, "<": lt, ">": gt, "<=": le, ">=": ge}
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[<>]=?|=|[()]|\d+|[A-Za-z_:\"]+)")
_MOMENT = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\.\.)"


def earthcare(
    product: str = "ATL_FM__2A",
    orbit: int = 6000,
    frame: str = "E",
    start: str = "2025-06-21T12:00:00",
    at: tuple[float, float] = (5.0, -15.0),
    *,
    baseline: str = "BA",
    collection: str = OPEN[1],
) -> Item:
    """Return an item as ESA MAAP has it: a line of ten degrees that begins at a longitude and latitude."""
    begin = datetime.strptime(start, _DAY)  # noqa: DTZ007  UTC, as all
    times = f"{begin:%Y%m%dT%H%M%SZ}_{begin + timedelta(hours=2):%Y%m%dT%H%M%SZ}"
    name = f"ECA_EX{baseline}_{product}_{times}_{orbit:05d}{frame}"
    place = f"earthcare-pdgs-01/EarthCARE/{product}/{baseline}/{begin:%Y/%m/%d}/{name}"
    longitude, latitude = at
    path = [[longitude, latitude], [longitude + 2, latitude + 10]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": collection,
        "geometry": {"type": "LineString", "coordinates": path},
        "bbox": [longitude, latitude, longitude + 2, latitude + 10],
        "properties": {
            "start_datetime": f"{begin:{_DAY}}.000Z",
            "end_datetime": f"{begin + timedelta(seconds=696):{_DAY}}.000Z",
            "datetime": f"{begin:{_DAY}}.000Z",
            "product:type": product,
            "sat:absolute_orbit": orbit,
            "grid:code": f"WRS-{orbit}-{frame}",
            "version": baseline,
            "updated": f"{begin + timedelta(days=4):{_DAY}}Z",
            "auth:schemes": {"oidc": {"openIdConnectUrl": TOKENS, "type": "openIdConnect"}},
        },
        "links": [{"rel": "self", "href": f"https://catalog.maap.eo.esa.int/catalogue/collections/{collection}/items/{name}"}],
        "assets": {
            "thumbnail": {"href": f"{DATA}/{place}/public/{name}.BID_1.jpeg", "type": "image/jpeg"},
            "product": {"href": f"{DATA}/zipper/{place}/{name}", "type": "application/zip"},
            "quicklook_jpeg": {"href": f"{DATA}/{place}/public/{name}.QL.jpeg", "type": "image/jpeg"},
            "enclosure_h5": {"href": f"{DATA}/{place}/{name}/{name}.h5", "type": "application/x-hdf5"},
            "enclosure_hdr": {"href": f"{DATA}/{place}/{name}/{name}.HDR", "type": "image/vnd.radiance"},
        },
    }  # fmt: skip


class BadRequest(Exception):  # noqa: N818  a status
    """What is asked for is not documented."""


def bad(reason: str) -> NoReturn:
    """Refuse a request."""
    raise BadRequest(reason)


class Api(Service):
    """A STAC API over items, page by page, that may be told to misbehave.

    ``refuse`` says from the number of the request, counted from 0, what is answered instead; ``distort``
    changes a page.
    """

    path = "/v1/search"
    parameters = frozenset({"collections", "bbox", "datetime", "limit", "filter", "filter-lang", "token"})
    token = "token"
    default, largest = 10, 1000
    counts = False
    """Whether pages tell the number of all items."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = list(items)
        self.refuse: Callable[[int], Answer | None] = lambda _number: None
        self.distort: Callable[[int, Page], Page | None] = lambda _number, _page: None
        self.faults: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.host = Host(self.reply)
        super().__init__(self.host)

    @property
    def address(self) -> str:
        """Of the API."""
        return self.host.origin + self.path.removesuffix("/search")

    @property
    def asked(self) -> list[Mapping[str, str]]:
        """Parameters of all requests."""
        return [asked.query for asked in self.host.asked]

    def reply(self, asked: Asked) -> Answer:
        """Answer a search."""
        number = self.answers.total()
        answer = self.refuse(number)
        if answer:
            self.faults["refused"] += 1
        else:
            answer = self._answer(number, asked)
        self.answers[answer.status] += 1
        return answer

    def _answer(self, number: int, asked: Asked) -> Answer:
        try:
            page = self._page(asked)
        except (BadRequest, ValueError) as error:
            return said(400, {"code": "BadRequest", "description": str(error)})
        except PermissionError:
            return said(403, {"code": "Forbidden"})
        other = self.distort(number, page)
        if other is not None:
            self.faults["distorted"] += 1
            page = other
        return Answer(
            200, [("Content-Type", "application/geo+json;charset=UTF-8")], json.dumps(page).encode()
        )

    def _page(self, asked: Asked) -> Page:
        query = self._query(asked)
        limit = int(query.get("limit", self.default))
        if not 1 <= limit <= self.largest:
            bad(f"limit is 1 to {self.largest}")
        found = [item for item in self.items if self.matches(item, query)]
        start = int(query.get(self.token, 0))
        links = [{"rel": "self", "href": f"{self.host.origin}{asked.target}"}]
        if start + limit < len(found):
            onward = urlencode(query | {self.token: str(start + limit)})
            links.append({"rel": "next", "href": f"{self.host.origin}{asked.path}?{onward}"})
        features = found[start : start + limit]
        page = {"type": "FeatureCollection", "features": features, "links": links}
        return page | ({"numberMatched": len(found), "numberReturned": len(features)} if self.counts else {})

    def _query(self, asked: Asked) -> dict[str, str]:
        """Return the parameters of a request that is as it should be."""
        pairs = parse_qsl(urlsplit(asked.target).query, keep_blank_values=True, strict_parsing=True)
        query = dict(pairs)
        if asked.method != "GET" or asked.body or asked.path != self.path:
            bad(f"GET {self.path} is all there is")
        if len(query) != len(pairs) or set(query) - self.parameters or not all(query.values()):
            bad(f"unknown, empty or repeated parameters among {[name for name, _ in pairs]}")
        if "json" not in asked.headers.get("accept", "*/*") and "*/*" not in asked.headers.get(
            "accept", "*/*"
        ):
            bad("only JSON can be had")
        if ("filter" in query) != ("filter-lang" in query) or query.get(
            "filter-lang", "cql2-text"
        ) != "cql2-text":
            bad("a filter is in cql2-text, and says so")
        return query

    def matches(self, item: Item, query: Mapping[str, str]) -> bool:
        """Return whether an item is asked for."""
        # all of them, so that each is looked at
        return all(
            [
                item["collection"] in query.get("collections", item["collection"]).split(","),
                _lies_in(item, query.get("bbox", "")),
                _is_within(item, query.get("datetime", "")),
                Filter(query.get("filter", ""), self.words(item)).holds(),
            ]
        )

    def words(self, item: Item) -> Mapping[str, object]:
        """Return what a filter may name."""
        properties: Mapping[str, object] = item["properties"]
        return properties


class MaapApi(Api):
    """As ESA MAAP's: collections are named, words of filters are not those of items, some need a right."""

    path = "/catalogue/search"
    parameters = frozenset(
        {"collections", "bbox", "datetime", "limit", "filter", "filter-lang", "startRecord"}
    )
    token = "startRecord"
    largest = 200
    counts = True
    right = ""
    """The token of who may search all collections."""

    def environment(self) -> dict[str, str]:
        """Return what a user sets."""
        return {"EOSCALE_MAAP_STAC_URL": f"{self.address}/", "EOSCALE_ALLOW_HOSTS": self.host.host}

    def _query(self, asked: Asked) -> dict[str, str]:
        query = super()._query(asked)
        named = query.get("collections", "").split(",")
        if set(named) - {*OPEN, *CLOSED}:
            bad("collections are required, and known ones")
        if set(named) & set(CLOSED) and not (self.right and bearer(asked) == self.right):
            raise PermissionError
        return query

    def words(self, item: Item) -> Mapping[str, object]:
        """Return what a filter may name."""
        properties = item["properties"]
        return {
            "productType": properties["product:type"],
            "orbitNumber": properties["sat:absolute_orbit"],
            "frame": item["id"][-1],
        }


class LaxApi(Api):
    """Gives all items, whatever is asked for."""

    def matches(self, _item: Item, _query: Mapping[str, str]) -> bool:
        """Return that it is."""
        return True


class Filter:
    """A filter in CQL2 text over the words of an item: comparisons, ``and``, ``or`` and parentheses."""

    def __init__(self, text: str, words: Mapping[str, Any]) -> None:
        self.tokens = _TOKEN.findall(text)
        self.words = words
        if "".join(self.tokens).replace(" ", "") != re.sub(r"\s", "", text):
            bad(f"this is no filter: {text}")

    def holds(self) -> bool:
        """Return whether it holds of the item; there may be none."""
        if not self.tokens:
            return True
        holds = self._either()
        return holds if not self.tokens else bad(f"too much in a filter: {self.tokens}")

    def _either(self) -> bool:
        holds = self._both()
        while self._take("or"):
            holds = self._both() or holds
        return holds

    def _both(self) -> bool:
        holds = self._one()
        while self._take("and"):
            holds = self._one() and holds
        return holds

    def _one(self) -> bool:
        if self._take("("):
            holds = self._either()
            return holds if self._take(")") else bad("a parenthesis is open")
        if len(self.tokens) < 3:
            bad("a comparison is cut")
        name, sign, text = (self.tokens.pop(0) for _ in range(3))
        if name.strip('"') not in self.words or sign not in _COMPARED:
            bad(f"unknown property or operator: {name} {sign}")
        there = self.words[name.strip('"')]
        wanted: Any = text[1:-1].replace("''", "'") if text.startswith("'") else int(text)
        if type(wanted) is not type(there):
            bad(f"{name} is no {type(wanted).__name__}")
        return bool(_COMPARED[sign](there, wanted))

    def _take(self, token: str) -> bool:
        if self.tokens[:1] != [token]:
            return False
        del self.tokens[0]
        return True


def _lies_in(item: Item, bbox: str) -> bool:
    if not bbox:
        return True
    west, south, east, north = map(float, bbox.split(","))
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        bad("bbox is west, south, east, north, in this order")
    return bool(
        shapely.intersects(shapely.geometry.shape(item["geometry"]), shapely.box(west, south, east, north))
    )


def _is_within(item: Item, interval: str) -> bool:
    if not interval:
        return True
    found = re.fullmatch(f"{_MOMENT}/{_MOMENT}", interval)
    if not found or set(found.groups()) == {".."}:
        bad("datetime is an interval of moments in UTC, open at one end at most")
    start, stop = (moment.removesuffix("Z") for moment in found.groups())
    told = item["properties"]
    begins, ends = told["start_datetime"].removesuffix(".000Z"), told["end_datetime"].removesuffix(".000Z")
    return (start == ".." or ends >= start) and (stop == ".." or begins <= stop)
