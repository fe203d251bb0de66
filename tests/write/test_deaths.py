"""Writers that are killed, and readers that look all the while."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import xarray as xr

from eoscale.model.cube import Cube
from eoscale.write import places, publish
from eoscale.write.claims import claimed
from eoscale.write.places import Place
from tests.servers.buckets import BucketServer
from tests.write.test_zarr import CUBES, DIGEST_OF_JOB, blocks, readable, sink, whole

CUBE = Cube(axes=CUBES["time y x"].axes, tile_shape=(1, 3, 4))
DEATHS = 50
PROCESSES = multiprocessing.get_context("forkserver")


def cube_at(place: Place) -> Cube:
    """Return what is written there: to a bucket fewer tiles, as a server takes its time for each."""
    return CUBE if isinstance(place, Path) else replace(CUBE, tile_shape=(1, 3, 7))


def write(folder: Place) -> None:
    """Write a store as a run does: laid out, tile by tile, published."""
    cube = cube_at(folder)
    made = sink(cube, 3, folder)
    with claimed(made.output, DIGEST_OF_JOB):
        made.prepare()
        for tile, block in blocks(cube).items():
            made.write(tile, block)
        made.publish()


def plainly(folder: Path) -> None:
    """Write the same values as people do."""
    data = {name: (CUBE.dims, values) for name, values in whole(CUBE).items()}
    chunked = xr.Dataset(data).chunk(dict(zip(CUBE.dims, CUBE.tile_shape, strict=True)))
    chunked.to_zarr(folder / "out.zarr", mode="w", zarr_format=3, consolidated=True)


def found(output: Place) -> str:
    """Return what a reader finds: nothing, all of it, or less."""
    try:
        with xr.open_zarr(readable(output), consolidated=True, zarr_format=3, chunks=None) as store:
            expected = whole(cube_at(output))
            same = all(
                np.array_equal(store[name], values, equal_nan=True) for name, values in expected.items()
            )
    except FileNotFoundError:
        return "nothing"
    except (KeyError, ValueError, OSError) as error:
        return f"an error: {type(error).__name__}"
    return "everything" if same else "holes"


@contextmanager
def looking(outputs: list[Place]) -> Iterator[Counter[str]]:
    """Look at the last of some outputs every 10 ms, and count what is found."""
    seen: Counter[str] = Counter()
    over = Event()

    def look() -> None:
        while not over.wait(0.01):
            seen[found(outputs[-1])] += 1

    # two readers of a bucket would take all the time of its server
    readers = [Thread(target=look) for _ in range(2 if isinstance(outputs[0], Path) else 1)]
    for reader in readers:
        reader.start()
    try:
        yield seen
    finally:
        over.set()
        for reader in readers:
            reader.join()


def begun(writer: Callable[[Any], None], folder: Place) -> multiprocessing.process.BaseProcess:
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    process = PROCESSES.Process(target=live, args=(keys, writer, folder))
    process.start()
    return process


def live(environment: Mapping[str, str], writer: Callable[[Any], None], folder: Place) -> None:
    os.environ.update(environment)  # forks have that of the process that they are forks of
    writer(folder)


def lived(writer: Callable[[Any], None], folder: Place) -> float:
    """Return the seconds that a writer takes that nobody kills."""
    places.make(folder)
    began = time.perf_counter()
    process = begun(writer, folder)
    process.join()
    assert process.exitcode == 0
    assert found(folder / "out.zarr") == "everything"
    return time.perf_counter() - began


def killed(writer: Callable[[Any], None], folder: Place, seconds: float) -> bool:
    """Begin a writer, kill it after some seconds, and return whether it died of that."""
    process = begun(writer, folder)
    time.sleep(seconds)
    if process.pid and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module", autouse=True)
def _forks_are_quick() -> None:
    PROCESSES.set_forkserver_preload([__name__])


@pytest.fixture
def dies(request: pytest.FixtureRequest, folder: Place) -> Callable[[Place], bool]:
    """Return what lets a writer die at a moment of chance, and tells whether it did.

    On a disk that is a time; of a bucket it is a change, as its server takes its time.
    """
    chance = random.Random(3)  # noqa: S311  no secret
    lived(write, folder / "first")
    if isinstance(folder, Path):
        span = lived(write, folder / "undisturbed")
        return lambda at: killed(write, at, chance.uniform(0, span))
    server: BucketServer = request.getfixturevalue("server")
    changes: list[str] = []
    with server.hearing(changes.append):
        lived(write, folder / "undisturbed")

    def die(at: Place) -> bool:
        left = count(chance.randint(1, len(changes)), -1)
        process = begun(write, at)
        with server.hearing(
            lambda _path: os.kill(process.pid or 0, signal.SIGKILL) if next(left) == 1 else None
        ):
            process.join()
        return process.exitcode == -signal.SIGKILL

    return die


def test_readers_find_nothing_or_everything_while_fifty_writers_die(
    folder: Place, dies: Callable[[Place], bool], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs, deaths, stages = [folder / "0" / "out.zarr"], 0, Counter[str]()
    with looking(outputs) as seen:
        while deaths < DEATHS:
            output = outputs[-1]
            places.make(output.parent)
            died = dies(output.parent)
            deaths += died
            if (output / "zarr.json").exists():  # nobody killed it, or after it was shown
                assert found(output) == "everything"
                stages["published"] += died
                outputs.append(folder / str(len(outputs)) / "out.zarr")
            else:
                left = " ".join(places.sizes(output.parent))
                laid_out = "laid out" if "/zarr.json" in left else "early"
                stages["tiles" if "_mean/c/" in left else laid_out] += 1
        before = seen["everything"]
        places.make(outputs[-1].parent)
        write(outputs[-1].parent)
        time.sleep(0.1)
    assert {*seen} == {"nothing", "everything"}, seen
    assert seen["everything"] > before
    assert seen["nothing"] > 100
    assert stages["tiles"] > DEATHS / 4, stages
    # a run removes these when it ends: what was not whole yet when a writer died
    assert {*publish.leftovers(outputs[-1])} <= {*publish.siblings(outputs[-1])}
    with capsys.disabled():
        print(f"\n{DEATHS} writers died ({dict(stages)}); readers found {dict(seen)}")  # noqa: T201


def test_a_store_that_is_written_plainly_opens_with_holes_when_its_writer_dies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(plainly, tmp_path / "first")
    span = lived(plainly, tmp_path / "undisturbed")
    chance, left = random.Random(5), Counter[str]()  # noqa: S311  no secret
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        if killed(plainly, folder, chance.uniform(0.3, 1) * span):
            left[found(folder / "out.zarr")] += 1
    assert left["holes"] > 0, left
    with capsys.disabled():
        print(f"\n{left.total()} plain writers died, and left {dict(left)}")  # noqa: T201
