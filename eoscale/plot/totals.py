"""Totals: tables of granules summed up, in a way that can be checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from eoscale.model.receipt import REFUSALS, STATUSES

_MOST_REASONS = 8


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What became of the rows of one variable."""

    variable: str
    read: int
    became: dict[str, int]
    """Rows by the reason for which they are not wanted, then those missing and binned."""

    @property
    def reconciled(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.read == sum(self.became.values())


@dataclass(frozen=True, kw_only=True)
class Granules:
    """How many granules were found, and what became of them."""

    found: int
    by_status: dict[str, int]
    """All of :data:`STATUSES`, in their order."""
    reasons: list[tuple[str, str, int]]
    """Status, reason and number, the most frequent first; of granules that state a reason."""
    absent: list[tuple[str, int]]
    """Groups (beams) that some granules lack together, and how many do."""
    fallbacks: list[tuple[str, int]]
    """Why libhdf5 had to read the metadata of some granules, and of how many."""

    @property
    def reconciled(self) -> bool:
        """Whether every granule that was found is accounted for."""
        return self.found == sum(self.by_status.values())


def granules(ledger: pd.DataFrame) -> Granules:
    """Return the totals of a ledger's granules."""
    number = ledger["status"].value_counts()
    stated = ledger[ledger["reason"].fillna("") != ""]
    reasons = Counter(zip(stated["status"].astype(str), stated["reason"].astype(str), strict=True))
    return Granules(
        found=len(ledger),
        by_status={status: int(number.get(status, 0)) for status in STATUSES},
        reasons=[(status, reason, times) for (status, reason), times in reasons.most_common()],
        absent=_frequent(ledger, "absent"),
        fallbacks=_frequent(ledger, "fallback"),
    )


def _frequent(ledger: pd.DataFrame, column: str) -> list[tuple[str, int]]:
    """Return the texts of a column and how often each occurs, the most frequent first."""
    if column not in ledger:
        return []  # of an earlier eoscale
    stated = ledger[column].fillna("").astype(str)
    return Counter(stated[stated != ""]).most_common()


def rows(ledger: pd.DataFrame) -> list[Rows]:
    """Return the totals of each variable's rows."""
    refused = {reason: int(ledger[reason].sum()) for reason in REFUSALS}
    return [
        Rows(
            variable=variable,
            read=int(ledger["read"].sum()),
            became=refused | {end: int(ledger[f"{end}_{variable}"].sum()) for end in ("missing", "binned")},
        )
        for variable in variables(ledger)
    ]


def indexed(told: pd.DataFrame) -> dict[str, str]:
    """Return what building indexes ahead came to, as lines for a person.

    Parameters
    ----------
    told : pandas.DataFrame
        One row per granule, as :func:`eoscale.run.indexing.index` returns them.

    Examples
    --------
    >>> told = pd.DataFrame({"status": ["indexed", "failed"], "variables": [24, 0], "absent": [0, 0],
    ...                      "fallback": ["", ""], "requests": [2, 1], "bytes": [1_500_000, 0]})
    >>> indexed(told)["granules"], indexed(told)["read"]
    ('2 found, 1 indexed, 1 failed', '3 requests, 1.5 MB of metadata')
    """
    failed = int((told["status"] == "failed").sum())
    return {
        "granules": f"{len(told):,} found, {len(told) - failed:,} indexed, {failed:,} failed",
        "variables": f"{told['variables'].sum():,}, and {told['absent'].sum():,} that granules lack",
        "read": f"{told['requests'].sum():,} requests, {told['bytes'].sum() / 1e6:,.1f} MB of metadata",
        "by libhdf5": f"{(told['fallback'] != '').sum():,} granules",
    }


def searched(granules: pd.DataFrame) -> dict[str, str]:
    """Return what a search came to, as lines for a person.

    Parameters
    ----------
    granules : pandas.DataFrame
        One row per granule, as :meth:`GranuleList.to_dataframe` returns them.

    Examples
    --------
    >>> searched(pd.DataFrame({"dropped": ["", "", "outside the period"], "size": [10, 2_500_000, 1],
    ...                        "start": pd.to_datetime(["2024-04-01", "2024-06-02", None]),
    ...                        "truncated": [False] * 3}))
    {'granules': '3 found, 2 kept', 'dropped': '1 outside the period', 'weigh': '2.5 MB', ...}
    """
    kept = granules[granules["dropped"] == ""]
    reasons = granules["dropped"][granules["dropped"] != ""].value_counts()
    unknown = int((kept["size"] == 0).sum())
    facts = {
        "granules": f"{len(granules):,} found, {len(kept):,} kept",
        "dropped": "; ".join(
            f"{number:,} {reason}" for reason, number in reasons.head(_MOST_REASONS).items()
        ),
        "weigh": f"{kept['size'].sum() / 1e6:,.1f} MB"
        + (f", without {unknown:,} of unknown size" if unknown else ""),
        "begin": f"from {kept['start'].min()} to {kept['start'].max()}"
        if kept["start"].notna().any()
        else "",
        "truncated": "yes: the catalogue has more" if granules["truncated"].any() else "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def downloaded(told: pd.DataFrame) -> dict[str, str]:
    """Return what downloading came to, as lines for a person.

    Parameters
    ----------
    told : pandas.DataFrame
        One row per granule, as :func:`eoscale.run.download.download` returns them.

    Examples
    --------
    >>> downloaded(pd.DataFrame({"status": ["copied", "failed"], "checksum": ["verified", ""]}))
    {'granules': '2 found, 1 copied, 1 failed', 'checksums': '1 verified, 0 have none'}
    """
    failed = int((told["status"] == "failed").sum())
    verified = int((told["checksum"] == "verified").sum())
    return {
        "granules": f"{len(told):,} found, {len(told) - failed:,} copied, {failed:,} failed",
        "checksums": f"{verified:,} verified, {len(told) - failed - verified:,} have none",
    }


def variables(ledger: pd.DataFrame) -> list[str]:
    """Return the names of the variables that a ledger accounts for.

    Examples
    --------
    >>> variables(pd.DataFrame(columns=["id", "missing_h_li", "binned_h_li"]))
    ['h_li']
    """
    return [str(name).removeprefix("binned_") for name in ledger.columns if str(name).startswith("binned_")]
