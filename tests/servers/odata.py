"""A catalogue of products of Sentinel-3, which answers to what Copernicus documents and refuses all else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID, uuid5

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from tests.servers.logins import Service, said
from tests.servers.redirects import Answer, Asked, Host

PATH = "/odata/v1/Products"
LAUNCH = datetime(2018, 6, 1, tzinfo=UTC)
_DEEPEST, _LARGEST = 10_000, 1000
_LONGEST_TARGET = 8000
_TYPES = ("OL_1_EFR___", "OL_1_ERR___")
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_TEXT = r"'((?:[^']|'')*)'"
_ATTRIBUTES = {"productType": "String", "timeliness": "String"}
_ATTRIBUTES |= {"relativeOrbitNumber": "Integer", "cycleNumber": "Integer"}
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A product that the catalogue has."""

    name: str
    start: datetime
    footprint: BaseGeometry
    collection: str = "SENTINEL-3"
    type: str = "OL_1_EFR___"
    orbit: int = 27
    cycle: int = 32
    timeliness: str = "NT"
    seconds: float = 179.0
    more: dict[str, object] = field(default_factory=dict)
    """Columns that say something else than usual."""

    @cached_property
    def id(self) -> str:
        """By which it is ordered, which has nothing to do with time."""
        return str(uuid5(UUID(int=3), self.name + json.dumps(self.more)))

    @cached_property
    def row(self) -> dict[str, Any]:
        """What is told of it."""
        return {
            "@odata.mediaContentType": "application/octet-stream",
            "Id": self.id,
            "Name": self.name,
            "ContentType": "application/octet-stream",
            "ContentLength": 585_000_000 + len(self.id),
            "OriginDate": told(self.start),
            "PublicationDate": told(self.start),
            "ModificationDate": told(self.start + timedelta(days=1)),
            "Online": True,
            "EvictionDate": "9999-12-31T23:59:59.999999Z",
            "S3Path": f"/eodata/Sentinel-3/OLCI/{self.type}/{self.start:%Y/%m/%d}/{self.name}",
            "Checksum": [],
            "ContentDate": {
                "Start": told(self.start),
                "End": told(self.start + timedelta(seconds=self.seconds)),
            },
            "Footprint": f"geography'SRID=4326;{self.footprint.wkt}'",
            "GeoFootprint": json.loads(shapely.to_geojson(self.footprint)),
            **self.more,
        }


def told(moment: datetime) -> str:
    """Return a moment as the catalogue writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def frame(number: int, start: datetime, footprint: BaseGeometry, **more: object) -> Kept:
    """Return a frame of OLCI; its number makes its name unlike those of others."""
    orbit, cycle = number % 385 + 1, 30 + number // 10_000
    stop, made = start + timedelta(seconds=179), start + timedelta(days=1)
    times = "_".join(f"{moment:%Y%m%dT%H%M%S}" for moment in (start, stop, made))
    which = f"0179_{cycle:03}_{orbit:03}_{number % 10_000:04}"
    satellite, when = "AB"[number % 2], ("NT", "NR")[number % 5 == 0]
    name = f"S3{satellite}_OL_1_EFR____{times}_{which}_LN1_O_{when}_002.SEN3"
    return Kept(
        name=name,
        start=start,
        footprint=footprint,
        orbit=orbit,
        cycle=cycle,
        timeliness=when,
        more=more,
    )


def frames(number: int, minutes: float) -> list[Kept]:
    """Return frames that begin so many minutes apart, and a bit, and go round the Earth."""
    kept = []
    for i in range(number):
        start = LAUNCH + i * timedelta(minutes=minutes) + timedelta(microseconds=i % 2 * 394_868)
        west, south = -180 + 97 * i % 348, -80 + 53 * i % 148
        kept.append(frame(i, start, shapely.box(west, south, west + 12, south + 12)))
    return kept


class _WrongError(Exception):
    """What is asked is not documented."""


class Catalogue(Service):
    """A catalogue for as long as the context lasts."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = sorted(kept, key=lambda each: each.id)
        self.filters: list[str] = []
        """Of all requests for a first page that were answered."""
        self.refused: list[str] = []
        """Why others were not."""
        self.fails: Callable[[int], bool] = lambda _: False
        """Whether the request of a number is answered by 503."""
        self.spoils: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda _, page: page
        """What becomes of the page behind so many rows."""
        self.faults = 0
        """Pages that were not given, or given otherwise than they are."""
        self._given: set[str] = set()
        self._masks: dict[str, Mask] = {}
        self._starts = np.array([each.start.replace(tzinfo=None) for each in self.kept], "M8[us]")
        self._shapes = np.array([each.footprint for each in self.kept], object)
        self.host = Host(self.reply)
        super().__init__(self.host)

    def environment(self) -> dict[str, str]:
        """Return what a user sets."""
        return {
            "EOSCALE_CDSE_ODATA_URL": f"{self.host.origin}{PATH}",
            "EOSCALE_ALLOW_HOSTS": self.host.host,
        }

    def reply(self, asked: Asked) -> Answer:
        """Give a page, or say what is wrong."""
        if self.fails(len(self.host.asked)):
            self.faults += 1
            return Answer(503)
        one = next((each for each in self.kept if asked.target == f"{PATH}({each.id})"), None)
        if one is not None and "authorization" not in asked.headers:
            return said(200, one.row)
        if asked.path != PATH or asked.method != "GET" or len(asked.target) > _LONGEST_TARGET:
            return self._refuse(404, f"no {asked.method} of {asked.path}")
        try:
            return self._page(asked)
        except _WrongError as wrong:
            return self._refuse(400, str(wrong))

    def _refuse(self, status: int, why: str) -> Answer:
        self.refused.append(why)
        return said(status, {"detail": {"message": why, "request_id": "7"}})

    def _page(self, asked: Asked) -> Answer:
        pairs = parse_qsl(urlsplit(asked.target).query, strict_parsing=True)
        words = dict(pairs)
        skip = int(words.pop("$skip", "0")) if asked.target in self._given else 0
        if "authorization" in asked.headers:
            raise _WrongError("nobody logs in here")
        if [name for name, _ in pairs if name != "$skip" or not skip] != ["$filter", "$top", "$count"]:
            raise _WrongError(f"Invalid parameters: {[name for name, _ in pairs]}")
        top = int(words["$top"])
        if not 1 <= top <= _LARGEST or words["$count"] != "true":
            raise _WrongError("$top: Input should be less than or equal to 1000")
        found = np.flatnonzero(self._meets(words["$filter"]))
        self.filters += [] if skip else [words["$filter"]]
        page: dict[str, Any] = {"@odata.context": "$metadata#Products"}
        page |= {} if skip else {"@odata.count": len(found)}
        page["value"] = [self.kept[i].row for i in found[skip : skip + top]]
        if skip + top < min(len(found), _DEEPEST):
            following = f"{PATH}?{urlencode({**words, '$skip': skip + top})}"
            self._given.add(following)
            page["@odata.nextLink"] = self.host.origin + following
        spoilt = self.spoils(skip, json.loads(json.dumps(page)))
        self.faults += spoilt != page
        return said(200, spoilt)

    def _meets(self, text: str) -> Mask:
        """Return which products meet a filter of the form that is documented: its clauses in their order."""
        clauses = _split(text, " and ")
        whole = np.ones(len(self.kept), np.bool_)
        if not clauses[0].startswith("Collection/Name eq "):
            raise _WrongError("Crucial for the performance is the collection's name")
        for clause in clauses:
            if clause not in self._masks:
                self._masks[clause] = self._meets_one(clause)
            whole &= self._masks[clause]
        return whole

    def _meets_one(self, clause: str) -> Mask:
        if clause.startswith("(") and clause.endswith(")"):
            either = [self._meets_one(each) for each in _split(clause[1:-1], " or ")]
            return np.asarray(np.logical_or.reduce(either), np.bool_)
        for pattern, meets in _CLAUSES.items():
            match = re.fullmatch(pattern, clause)
            if match:
                return meets(self, match)
        raise _WrongError(f"Invalid field or operator: {clause}")

    def _column(self, name: str, value: object) -> Mask:
        return np.array([getattr(each, name) == value for each in self.kept], np.bool_)

    def _named(self, match: re.Match[str]) -> Mask:
        how, text = match["how"], match["text"].replace("''", "'")
        meets = {"startswith": str.startswith, "contains": str.__contains__}.get(how, str.__eq__)
        return np.array([meets(each.name, text) for each in self.kept], np.bool_)

    def _has(self, match: re.Match[str]) -> Mask:
        kind, name, value = match["kind"], match["name"], match["value"]
        if _ATTRIBUTES.get(name) != kind or (kind == "String") != value.startswith("'"):
            raise _WrongError(f"Invalid attribute {name} of type {kind}")
        if name == "productType" and value.strip("'") not in _TYPES:
            raise _WrongError(f"Invalid productType: {value}")
        column = {"productType": "type", "relativeOrbitNumber": "orbit", "cycleNumber": "cycle"}.get(
            name, name
        )
        return self._column(column, value.strip("'") if kind == "String" else int(value))

    def _begins(self, match: re.Match[str]) -> Mask:
        moment = np.datetime64(match["moment"].removesuffix("Z"))
        return self._starts > moment if match["how"] == "gt" else self._starts < moment

    def _intersects(self, match: re.Match[str]) -> Mask:
        shape: BaseGeometry | None = shapely.from_wkt(match["text"], on_invalid="ignore")
        if not shape or shape.geom_type != "Polygon" or not shape.is_valid:
            raise _WrongError(f"Invalid polygon: {match['text']}")
        if not shapely.box(-180, -90, 180, 90).covers(shape):
            raise _WrongError("Coordinates must be given in EPSG 4326")
        return np.asarray(shapely.intersects(self._shapes, shape), np.bool_)


_CLAUSES: dict[str, Callable[[Catalogue, re.Match[str]], Mask]] = {
    rf"Collection/Name eq {_TEXT}": lambda own, match: own._column("collection", match[1]),
    r"Name (?P<how>eq) '(?P<text>[^']*\.SEN3)'": Catalogue._named,
    r"(?P<how>startswith|contains)\(Name,'(?P<text>[^']+)'\)": Catalogue._named,
    r"Attributes/OData\.CSC\.(?P<kind>\w+)Attribute/any\(att:att/Name eq '(?P<name>\w+)' and "
    r"att/Value eq (?P<value>'\w+'|\d+)\)": Catalogue._has,
    rf"ContentDate/Start (?P<how>gt|lt) (?P<moment>{_MOMENT})": Catalogue._begins,
    r"OData\.CSC\.Intersects\(area=geography'SRID=4326;(?P<text>POLYGON \(\([^']*\)\))'\)": (
        Catalogue._intersects
    ),
}


def _split(text: str, word: str) -> list[str]:
    """Return what stands between a word, where that is in no bracket and no quotes."""
    parts, depth, quoted, begin, i = [], 0, False, 0, 0
    while i < len(text):
        quoted ^= text[i] == "'"
        depth += 0 if quoted else (text[i] == "(") - (text[i] == ")")
        if not quoted and not depth and text.startswith(word, i):
            parts.append(text[begin:i])
            i = begin = i + len(word)
        else:
            i += 1
    return [*parts, text[begin:]]
