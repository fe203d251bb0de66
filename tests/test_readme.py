"""What the README shows in Python is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from eoscale import synthetic
from eoscale.access import loop, stores
from eoscale.model.region import Region
from eoscale.products import ATL06
from tests.servers.buckets import BucketServer
from tests.servers.cmr import Cmr, Record
from tests.servers.ranges import RangeServer

ROOT = Path(__file__).parents[1]
PROGRAMS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module", name="notebook")
def _notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as the README assumes it: its recipes, and granules."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    region = Region.from_bbox(-51.0, 69.9, -49.0, 72.1)
    synthetic.make(ATL06, 3, folder=folder / "granules", region=region)
    return folder


def test_the_readme_shows_python() -> None:
    assert len(PROGRAMS) >= 2


@pytest.fixture(scope="module", name="bucket")
def _bucket(notebook: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a service whose bucket holds the granules too."""
    granules = notebook / "granules"
    with (
        BucketServer() as server,
        RangeServer(granules) as archive,
        Cmr([_record(path, archive.url(path.name)) for path in granules.iterdir()]) as catalogue,
        pytest.MonkeyPatch.context() as environment,
    ):
        told = server.environment() | catalogue.environment()
        told["EOSCALE_ALLOW_HOSTS"] = f"{catalogue.host},{archive.host}"
        for name, value in told.items():
            environment.setenv(name, value)
        server.create("bucket")
        for path in (notebook / "granules").iterdir():
            assert loop.run(stores.write("s3://bucket/ATL06", path.name, path.read_bytes()))
        yield told


def _record(path: Path, url: str) -> Record:
    """Return what a catalogue knows of a granule."""
    start = np.datetime64(datetime.strptime(path.name[6:20], "%Y%m%d%H%M%S"), "ns")  # noqa: DTZ007  UTC
    return Record(path.stem, "C2670138092-NSIDC_CPRD", start, url=url)


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"block {n + 1}" for n in range(len(PROGRAMS))])
def test_a_program_of_the_readme_runs(
    program: str, notebook: Path, bucket: dict[str, str], tmp_path: Path
) -> None:
    (notebook / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:eoscale", "program.py"],
        check=False,
        capture_output=True,
        text=True,
        cwd=notebook,
        env={**os.environ, **bucket, "MPLBACKEND": "Agg", "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
