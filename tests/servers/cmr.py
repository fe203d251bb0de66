"""A catalogue like CMR, which refuses all that it does not document, and gives pages in any order."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from tests.servers.redirects import Answer, Asked, Host

COLLECTIONS = {
    "C2144424132-NSIDC_ECS": ("ATL08", "005", "NSIDC_ECS"),
    "C2153574670-NSIDC_CPRD": ("ATL08", "005", "NSIDC_CPRD"),
    "C2565090645-NSIDC_CPRD": ("ATL08", "006", "NSIDC_CPRD"),
    "C2027878642-NSIDC_CPRD": ("ATL03", "004", "NSIDC_CPRD"),
    "C2670138092-NSIDC_CPRD": ("ATL06", "006", "NSIDC_CPRD"),
    "C2142771958-LPCLOUD": ("GEDI02_A", "002", "LPCLOUD"),
}
"""Short name, version and provider, by concept id."""
CLOUD = ("NSIDC_CPRD", "LPCLOUD")
_PARAMETERS = {
    "short_name", "version", "provider", "collection_concept_id", "cloud_hosted", "temporal",
    "bounding_box", "producerGranuleId", "options[producerGranuleId][pattern]", "page_size",
}  # fmt: skip
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z"
_NUMBER = r"-?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Record:
    """What the catalogue knows of a granule."""

    name: str
    """Of the file, without its ending."""
    collection: str
    start: np.datetime64
    box: tuple[float, float, float, float] = (-180.0, -90.0, 180.0, 90.0)
    """West, south, east, north."""
    orbit: Mapping[str, Any] | None = None
    size: int = 1_000_000
    url: str = ""
    """By https; in the archive unless given."""

    @property
    def concept(self) -> str:
        """Its id in the catalogue."""
        number = int(sha256(f"{self.name} {self.collection}".encode()).hexdigest()[:15], 16)
        return f"G{number}-{COLLECTIONS[self.collection][2]}"

    def umm(self) -> dict[str, Any]:
        """Return it as CMR gives it."""
        short_name, version, provider = COLLECTIONS[self.collection]
        west, south, east, north = self.box
        corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
        points = [{"Longitude": x, "Latitude": y} for x, y in corners]
        data = (
            self.url
            or f"https://data.nsidc.earthdatacloud.nasa.gov/nsidc-cumulus-prod-protected/{self.name}.h5"
        )
        links = [{"URL": data, "Type": "GET DATA"}]
        if provider in CLOUD and not self.url:
            bucket = f"s3://nsidc-cumulus-prod-protected/{self.name}.h5"
            links.append({"URL": bucket, "Type": "GET DATA VIA DIRECT ACCESS"})
            giver = "https://data.nsidc.earthdatacloud.nasa.gov/s3credentials"
            links.append({"URL": giver, "Type": "VIEW RELATED INFORMATION"})
        return {
            "meta": {
                "concept-id": self.concept,
                "provider-id": provider,
                "revision-id": 1,
                "revision-date": "2024-08-10T11:32:12.503Z",
            },
            "umm": {
                "GranuleUR": f"{self.name}.h5",
                "TemporalExtent": {
                    "RangeDateTime": {
                        "BeginningDateTime": f"{self.start.astype('M8[ms]')}Z",
                        "EndingDateTime": f"{(self.start + np.timedelta64(300, 's')).astype('M8[ms]')}Z",
                    }
                },
                "SpatialExtent": {
                    "HorizontalSpatialDomain": {"Orbit": self.orbit}
                    if self.orbit
                    else {"Geometry": {"GPolygons": [{"Boundary": {"Points": points}}]}}
                },
                "CollectionReference": {"ShortName": short_name, "Version": version},
                "DataGranule": {
                    "Identifiers": [{"Identifier": f"{self.name}.h5", "IdentifierType": "ProducerGranuleId"}],
                    "ArchiveAndDistributionInformation": [
                        {"Name": "a", "Size": self.size / 2**20, "SizeUnit": "MB"}
                    ],
                },
                "RelatedUrls": links,
            },
        }


@dataclass
class Faults:
    """What the catalogue does wrong, and how often it did."""

    shuffled: bool = False
    """Records of a page come in any order, and pages hold records of any time."""
    repeated: int = 0
    """Records of the page before that a page begins with."""
    lost: int = 0
    """Records that no page holds."""
    lost_in: int = 1_000_000
    """Searches that lose records; those after give all."""
    busy: Mapping[int, int] = field(default_factory=dict)
    """How often a page, by number, is answered by 503."""
    expires: int = 0
    """Pages after which a search is no longer known; 0 for never."""
    expires_in: int = 1_000_000
    """Searches that are forgotten; those after are not."""
    done: dict[str, int] = field(default_factory=dict)

    def did(self, what: str) -> None:
        """Count something that went wrong."""
        self.done[what] = self.done.get(what, 0) + 1


class Cmr(Host):
    """A catalogue of records."""

    def __init__(self, records: Sequence[Record], faults: Faults | None = None, token: str = "") -> None:
        super().__init__(self._reply)
        self.records = records
        self.faults = faults or Faults()
        self.token = token
        """Without which nothing is found, if there is one."""
        self.searches = 0
        self._orders: dict[int, list[Record]] = {}

    def environment(self) -> dict[str, str]:
        """Return what a user sets who is to use it."""
        return {"EOSCALE_CMR_URL": f"{self.origin}/search", "EOSCALE_ALLOW_HOSTS": self.host}

    def questions(self) -> list[list[tuple[str, str]]]:
        """Return the parameters of the first page of each search."""
        return [_parameters(asked) for asked in self.asked if "cmr-search-after" not in asked.headers]

    def _reply(self, asked: Asked) -> Answer:
        if asked.path == "/search/collections.umm_json":
            return self._collections(dict(_parameters(asked)))
        if asked.path != "/search/granules.umm_json":
            return Answer(404)
        parameters = _parameters(asked)
        wrong = _wrong(asked, parameters)
        if wrong:
            return _said(400, {"errors": [wrong]})
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return _said(200, {"hits": 0, "took": 1, "items": []}, [("CMR-Hits", "0")])
        return self._page(asked, parameters)

    def _page(self, asked: Asked, parameters: list[tuple[str, str]]) -> Answer:
        after = asked.headers.get("cmr-search-after", "")
        search, number = json.loads(after) if after else (self._begin(parameters), 0)
        faults = self.faults
        if faults.expires and number >= faults.expires and search <= faults.expires_in:
            faults.did("expired")
            return _said(400, {"errors": ["The search-after has expired."]})
        if faults.done.get(f"busy {number}", 0) < faults.busy.get(number, 0):
            faults.did(f"busy {number}")
            return Answer(503, [("Retry-After", "0")])
        found, size = self._orders[search], int(dict(parameters)["page_size"])
        given = found[: len(found) - faults.lost] if search <= faults.lost_in else found
        if len(given) < len(found):
            faults.did("lost")
        page = given[number * size : (number + 1) * size]
        if faults.repeated and number:
            faults.did("repeated")
            page = given[number * size - faults.repeated : number * size] + page
        told = {"hits": len(found), "took": 1, "items": [record.umm() for record in page]}
        next_one = [("CMR-Search-After", json.dumps([search, number + 1]))] if page else []
        return _said(200, told, [("CMR-Hits", str(len(found))), *next_one])

    def _begin(self, parameters: list[tuple[str, str]]) -> int:
        self.searches += 1
        found = [record for record in self.records if _matches(record, parameters)]
        if self.faults.shuffled:
            self.faults.did("shuffled")
            random.Random(self.searches).shuffle(found)  # noqa: S311  no secret
        self._orders[self.searches] = found
        return self.searches

    def _collections(self, parameters: dict[str, str]) -> Answer:
        items = [
            {
                "meta": {"concept-id": concept, "provider-id": provider},
                "umm": {
                    "ShortName": short_name,
                    "Version": version,
                    "EntryTitle": f"{short_name} V{version}",
                    "Abstract": "What it is.",
                    **(
                        {"DirectDistributionInformation": {"Region": "us-west-2"}}
                        if provider in CLOUD
                        else {}
                    ),
                },
            }
            for concept, (short_name, version, provider) in COLLECTIONS.items()
            if fnmatchcase(short_name, parameters.get("short_name", "*"))
            and version == parameters.get("version", version)
            and concept == parameters.get("concept_id", concept)
        ]
        return _said(200, {"hits": len(items), "took": 1, "items": items})


def _said(status: int, told: Mapping[str, Any], headers: Sequence[tuple[str, str]] = ()) -> Answer:
    return Answer(status, [("Content-Type", "application/json"), *headers], json.dumps(told).encode())


def _parameters(asked: Asked) -> list[tuple[str, str]]:
    text = asked.body.decode() if asked.method == "POST" else urlsplit(asked.target).query
    return parse_qsl(text, keep_blank_values=True)


def _wrong(asked: Asked, parameters: list[tuple[str, str]]) -> str:
    """Return what is wrong with a question."""
    told = dict(parameters)
    faults = {
        "A parameter was not recognized.": bool(set(told) - _PARAMETERS),
        "A form has no query beside it.": asked.method == "POST" and bool(urlsplit(asked.target).query),
        "page_size must be a number between 0 and 2000": not 0 <= int(told.get("page_size", "10")) <= 2000,
        "There is no granule query across all collections.": not (
            {"short_name", "collection_concept_id"} & set(told)
        ),
    }
    if any(faults.values()):
        return next(fault for fault, is_so in faults.items() if is_so)
    forms = {
        "temporal": f"{_MOMENT},{_MOMENT}|{_MOMENT},|,{_MOMENT}",
        "bounding_box": rf"{_NUMBER}(,{_NUMBER}){{3}}",
        "cloud_hosted": "true|false",
        "options[producerGranuleId][pattern]": "true",
        "collection_concept_id": r"C\d+-\w+",
    }
    for name, form in forms.items():
        if name in told and not re.fullmatch(form, told[name]):
            return f"{name} is not as it has to be: {told[name]}"
    return ""


def _matches(record: Record, parameters: list[tuple[str, str]]) -> bool:
    told: dict[str, list[str]] = {}
    for name, value in parameters:
        told.setdefault(name, []).append(value)
    short_name, version, provider = COLLECTIONS[record.collection]
    patterned = "options[producerGranuleId][pattern]" in told
    tests: dict[str, Callable[[str], bool]] = {
        "short_name": lambda value: value == short_name,
        "version": lambda value: value == version,
        "provider": lambda value: value == provider,
        "collection_concept_id": lambda value: value == record.collection,
        "cloud_hosted": lambda value: (provider in CLOUD) == (value == "true"),
        "temporal": lambda value: _during(record, value),
        "bounding_box": lambda value: _overlaps(record.box, value),
        "producerGranuleId": lambda value: (
            fnmatchcase(f"{record.name}.h5", value) if patterned else f"{record.name}.h5" == value
        ),
    }
    return all(any(map(test, told[name])) for name, test in tests.items() if name in told)


def _during(record: Record, span: str) -> bool:
    first, last = (moment.removesuffix("Z") for moment in span.split(","))
    end = record.start + np.timedelta64(300, "s")
    early = bool(first) and end < np.datetime64(first, "ms")
    return not early and not (last and record.start > np.datetime64(last, "ms"))


def _overlaps(box: tuple[float, float, float, float], asked: str) -> bool:
    west, south, east, north = map(float, asked.split(","))
    turns = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    upright = box[1] <= north and box[3] >= south
    return upright and any(box[0] <= last and box[2] >= first for first, last in turns)
