"""What is told of the runs: a table for people, and all of it for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.storage.rounds import Run

_MEASURES = ("eoscale-first", "eoscale-known", "limit")
"""Contenders that the others are told as multiples of."""
_PACKAGES = (
    "dask",
    "deflate",
    "distributed",
    "fsspec",
    "geopandas",
    "h5coro",
    "h5coro-hidefix",
    "h5netcdf",
    "h5py",
    "numpy",
    "obstore",
    "pandas",
    "pyfive",
    "s3fs",
    "shapely",
    "uvloop",
    "virtualizarr",
    "xarray",
    "zarr",
)
_TITLES = (
    "seconds",
    "least",
    "CPU s",
    "GETs",
    "HEADs",
    "MB",
    "connections",
    "at once",
    "peak MB",
    "before MB",
)


def machine() -> dict[str, Any]:
    """Return what the figures depend on, beside eoscale."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
        "versions": {name: version for name, version in versions.items() if version},
    }


def figures(runs: Sequence[Run]) -> dict[str, float]:
    """Return medians of the runs of one contender, scaled to all files."""
    seconds = [run.taken.seconds / run.share for run in runs]
    share, counts = runs[0].share, [run.taken.counts for run in runs]
    return {
        "seconds": median(seconds),
        "least": min(seconds),
        "CPU s": median(run.taken.cpu_seconds for run in runs) / share,
        "GETs": median(each.gets for each in counts) / share,
        "HEADs": median(each.heads for each in counts) / share,
        "MB": median(each.bytes for each in counts) / 1e6 / share,
        "connections": median(each.connections for each in counts),
        "at once": median(each.most_at_once for each in counts),
        "peak MB": median(run.taken.peak_bytes for run in runs) / 1e6,
        "before MB": median(run.taken.bytes_before for run in runs) / 1e6,
    }


def table(runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """Yield the lines of a table for each workload, given the runs of each contender by its label."""
    told = {label: figures(some) for label, some in runs.items()}
    for workload in dict.fromkeys(label.partition("/")[0] for label in told):
        measures = [name for name in _MEASURES if f"{workload}/{name}" in told]
        titles = (workload, *_TITLES, *(f"times {name}" for name in measures))
        yield ""
        yield f"| {' | '.join(titles)} |"
        yield "|---|" + "---:|" * (len(titles) - 1)
        for label, figure in told.items():
            if label.startswith(f"{workload}/"):
                ratios = [figure["seconds"] / told[f"{workload}/{name}"]["seconds"] for name in measures]
                cells = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in figure.values()]
                note = (
                    "" if runs[label][0].share == 1 else f", {runs[label][0].share:.0%} of the files, scaled"
                )
                name = label.partition("/")[2] + note
                yield f"| {name} | {' | '.join([*cells, *(f'{ratio:.2f}' for ratio in ratios)])} |"


def facts(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return all figures of all runs."""
    return {
        "medians": {label: figures(some) for label, some in runs.items()},
        "runs": [asdict(run) for some in runs.values() for run in some],
    }


def _named(run: Run) -> str:
    name = run.label.partition("/")[2]
    return name if run.files == run.total else f"{name}, {run.files} of {run.total} files, scaled"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
