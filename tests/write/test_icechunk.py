from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import sleep
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from icechunk import IcechunkStore, Repository
from zarr.core.buffer import default_buffer_prototype

import eoscale
from eoscale.access import loop
from eoscale.access.bucket import BucketPath
from eoscale.errors import AccessError, ConflictError, IncompleteRunError, RecipeError
from eoscale.model.cube import Cube
from eoscale.write import icechunk as sinks
from eoscale.write import places, publish, repository
from eoscale.write.icechunk import IcechunkSink
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST
from eoscale.write.repository import (
    check_free,
    is_repository,
    open_repository,
    packed,
    put,
    require,
    unpacked,
)
from eoscale.write.zarr import open_store
from tests.run.moments import Moment, at_hand, began
from tests.suites.sinks import Case, SinkLaws, Unit, contents, full_disk, shuffled
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss
from tests.write.test_zarr import CUBES, DIGEST_OF_JOB, POLAR, blocks, specs, whole
from tests.write.test_zarr import sink as zarr_sink

CUBE = CUBES["time latitude longitude"]
OTHER, OTHERS_JOB = CUBES["time"], "fedcba9876543210" * 4


def sink(folder: Place, cube: Cube = CUBE, digest: str = DIGEST_OF_JOB) -> IcechunkSink:
    places.make(folder)
    return IcechunkSink(
        output=folder / "out.icechunk",
        digest=digest,
        cube=cube,
        variables=specs(cube),
        attributes={"title": "a test", DIGEST: digest, "eoscale_granules": ["a", "b"]},
    )


def other(folder: Place) -> IcechunkSink:
    """Return the sink of another job: fewer variables, other coordinates and shapes."""
    made = sink(folder, OTHER, OTHERS_JOB)
    return replace(made, variables={"h_li_mean": made.variables["h_li_mean"]})


def fill(made: IcechunkSink) -> IcechunkSink:
    made.prepare()
    for tile, block in blocks(made.cube).items():
        made.write(tile, {name: block[name] for name in made.variables})
    return made


def repository_at(output: Place) -> Repository:
    """Return a repository, opened by what its makers say and by the environment."""
    if isinstance(output, BucketPath):
        storage = icechunk.s3_storage(
            bucket=output.root.removeprefix("s3://"),
            prefix=output.key,
            region=os.environ["AWS_REGION"],
            endpoint_url=os.environ["AWS_ENDPOINT_URL"],
            allow_http=True,
            force_path_style=True,
            from_env=True,
        )
    else:
        icechunk.set_logs_filter("error")
        storage = icechunk.local_filesystem_storage(str(output))
    return Repository.open(storage)


def main(output: Place) -> IcechunkStore:
    if not is_repository(output):
        raise FileNotFoundError(str(output))
    return repository_at(output).readonly_session("main").store


def held(output: Place) -> Mapping[str, str]:
    """Return the digest of each object that main holds, of a group or array what it says."""
    store = main(output)

    async def gather() -> dict[str, bytes]:
        found = {name: await store.get(name, default_buffer_prototype()) async for name in store.list()}
        return {name: value.to_bytes() for name, value in found.items() if value is not None}

    return {name: hashlib.sha256(value).hexdigest() for name, value in sorted(loop.run(gather()).items())}


def history(output: Place) -> list[str]:
    """Return the digests of the jobs that were committed to main, the newest first."""
    return [each.metadata.get(DIGEST, "") for each in repository_at(output).ancestry(branch="main")]


def dataset(at: Place) -> None:
    xr.open_zarr(main(at), consolidated=False).close()


def group(at: Place) -> None:
    zarr.open_group(main(at), mode="r")


def check(output: Place, cube: Cube = CUBE) -> None:
    with xr.open_zarr(main(output), consolidated=False, chunks=None) as opened:
        for name, values in whole(cube).items():
            assert opened[name].dims == cube.dims
            assert opened[name].dtype == values.dtype
            assert opened[name].values.tobytes() == values.tobytes()


class TestIcechunkSink(SinkLaws):
    """Icechunk gives its objects names of chance: where bytes are compared, it is those that main holds."""

    @pytest.fixture
    def case(self) -> Case:
        return Case(
            make=sink,
            output="out.icechunk",
            job=DIGEST_OF_JOB,
            blocks=blocks(CUBE),
            readers=[dataset, group],
            check=check,
        )

    @pytest.fixture(params=["disk", "bucket"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
        found: Place = tmp_path if request.param == "disk" else request.getfixturevalue("bucket")
        return found

    def begin(self, case: Case, folder: Place, unit: Unit) -> None:
        """Write all chunks of a tile and not what was changed, as a task does that dies."""
        made = sink(folder)
        chunk = np.random.default_rng(1).bytes(4096)  # of a size that is not kept with the changes
        fork = unpacked(made._layout.read_bytes())
        put(fork.store, {f"{name}/{made._chunk(unit)}": chunk for name in case.blocks[unit]})

    def is_closed(self, case: Case, folder: Place) -> bool:
        for at in (folder, folder / case.output, *(folder / name for name in places.folders(folder))):
            for reader in case.readers:
                with pytest.raises(FileNotFoundError):
                    reader(at)
        return history(folder / case.output) == [""]

    def test_blocks_in_any_order_leave_the_same_bytes(self, case: Case, folder: Place) -> None:
        orders: list[Iterable[Unit]] = [list(case.blocks), shuffled(case.blocks)]
        results = []
        for number, order in enumerate(orders):
            self.fill(case, folder / str(number), order).publish()
            results.append(held(folder / str(number) / case.output))
        assert orders[0] != orders[1]
        assert results[0] == results[1]
        assert len(results[0]) > 3 * CUBE.tiles

    def test_writing_a_block_again_leaves_the_same_bytes(self, case: Case, folder: Place) -> None:
        once = self.fill(case, folder / "once", case.blocks)
        again = self.fill(case, folder / "again", [*case.blocks, *case.blocks, *case.blocks])
        once.publish()
        again.publish()
        assert held(folder / "once" / case.output) == held(folder / "again" / case.output)


def test_it_holds_what_a_zarr_store_of_the_same_holds(tmp_path: Path) -> None:
    store = zarr_sink(CUBE, 3, tmp_path)
    store.prepare()
    for tile, block in blocks(CUBE).items():
        store.write(tile, block)
    store.publish()
    made = fill(sink(tmp_path))
    made.publish()
    found = {name: digest for name, digest in held(made.output).items() if not name.endswith("zarr.json")}
    expected = {name: digest for name, digest in contents(store.output).items() if "zarr.json" not in name}
    assert found == expected
    with open_repository(made.output) as mine, open_store(store.output) as theirs:
        xr.testing.assert_identical(mine, theirs)


def test_a_job_replaces_another_whole_in_one_commit(folder: Place) -> None:
    first, second = fill(sink(folder)), other(folder)
    first.publish()
    assert check_free(second.output, second.digest)
    fill(second).publish()
    assert history(second.output) == [OTHERS_JOB, DIGEST_OF_JOB, ""]
    alone = fill(other(folder / "alone"))
    alone.publish()
    assert held(second.output) == held(alone.output)
    assert not any(name.startswith(("h_li_count", "latitude")) for name in held(second.output))
    fill(first).publish()
    check(first.output)


def test_the_state_before_is_read_until_the_commit_and_from_then_on_by_who_has_it_open(folder: Place) -> None:
    first = fill(sink(folder))
    first.publish()
    with open_repository(first.output) as before:
        second = fill(other(folder))
        check(first.output)
        second.publish()
        assert before["h_li_max"].values.tobytes() == whole(CUBE)["h_li_max"].tobytes()
    with open_repository(second.output) as after:
        assert [*after.data_vars] == ["h_li_mean"]
        assert after.attrs[DIGEST] == OTHERS_JOB


def test_what_main_holds_already_is_told(folder: Place) -> None:
    made = sink(folder)
    assert check_free(made.output, made.digest)
    fill(made)
    assert check_free(made.output, made.digest)
    with pytest.raises(IncompleteRunError, match="has not been published: run its recipe"):
        open_repository(made.output)
    made.publish()
    assert not check_free(made.output, made.digest)
    assert check_free(made.output, OTHERS_JOB)


def commit(output: Place) -> None:
    """Commit something that is not eoscale's."""
    session = repository_at(output).writable_session("main")
    zarr.open_group(session.store).create_array("theirs", shape=(3,), dtype="i4")
    session.commit("theirs")


def test_what_is_not_eoscales_on_main_is_a_conflict_and_stays(folder: Place) -> None:
    made = sink(folder)
    made.prepare()
    commit(made.output)
    before = held(made.output)
    with pytest.raises(ConflictError, match="holds what is not eoscale's: choose another output"):
        check_free(made.output, made.digest)
    with pytest.raises(ConflictError, match="holds what is not eoscale's: choose another output"):
        made.prepare()
    assert held(made.output) == before


@pytest.mark.parametrize("theirs", [True, False])
def test_a_commit_of_somebody_else_meanwhile_is_a_conflict_and_stays(folder: Place, *, theirs: bool) -> None:
    made = fill(sink(folder))
    if theirs:
        commit(made.output)
    else:
        fill(other(folder)).publish()
    before = held(made.output)
    with pytest.raises(ConflictError, match="not eoscale's" if theirs else "changed while this was made"):
        made.publish()
    assert held(made.output) == before
    # what was written on the state before does not fit the present one
    assert made.missing() == tuple(range(CUBE.tiles))


def test_an_attempt_after_a_commit_of_another_job_begins_anew_and_late_tiles_do_not_count(
    folder: Place,
) -> None:
    made = fill(sink(folder))
    late = made._layout.read_bytes()
    fill(other(folder)).publish()
    made.prepare()
    assert made.missing() == tuple(range(CUBE.tiles))
    places.put(made._folder / sinks._name(late, 0), packed(unpacked(late)))
    assert made.missing() == tuple(range(CUBE.tiles))
    fill(made).publish()
    check(made.output)


def test_an_attempt_whose_repository_was_removed_begins_anew(folder: Place) -> None:
    made = fill(sink(folder))
    places.remove(made.output)
    for _ in range(2):
        assert made.missing() == tuple(range(CUBE.tiles))
        made.prepare()
    fill(made).publish()
    check(made.output)


def test_an_attempt_that_died_while_it_made_the_repository_is_gone_on_with(folder: Place) -> None:
    made = sink(folder)
    made.prepare()
    (made.output / repository._BRANCH).unlink()
    assert [*contents(made.output)] == ["snapshots/1CECHNKREP0F1RSTCMT0"]
    assert check_free(made.output, made.digest)
    fill(made).publish()
    check(made.output)


@pytest.mark.parametrize("thing", ["a folder", "a file", "a link to nowhere", "a store"])
def test_what_is_no_repository_is_a_conflict_and_stays(tmp_path: Path, thing: str) -> None:
    made = sink(tmp_path)
    output = Path(str(made.output))
    if thing == "a folder":
        output.mkdir()
        (output / "precious.txt").write_text("theirs")
    elif thing == "a file":
        output.write_text("theirs")
    elif thing == "a link to nowhere":
        output.symlink_to(tmp_path / "nowhere")
    else:
        zarr.create_group(output)
    before = output.lstat().st_ino, contents(output)
    with pytest.raises(ConflictError, match="is no repository of Icechunk 1"):
        check_free(output, made.digest)
    with pytest.raises(ConflictError, match="came into being or changed"):
        made.prepare()
    assert (output.lstat().st_ino, contents(output)) == before


def test_objects_in_a_bucket_that_are_no_repository_are_a_conflict_and_stay(bucket: BucketPath) -> None:
    made = sink(bucket)
    (made.output / "precious.txt").write_bytes(b"theirs")
    before = contents(bucket)
    with pytest.raises(ConflictError, match="is no repository of Icechunk 1"):
        check_free(made.output, made.digest)
    with pytest.raises(ConflictError, match="came into being or changed"):
        made.prepare()
    assert contents(bucket) == before


def test_a_repository_is_no_place_for_a_zarr_store_and_nothing_to_clear_away(bucket: BucketPath) -> None:
    made = fill(sink(bucket))
    made.publish()
    with pytest.raises(ConflictError, match="it is no store of eoscale"):
        publish.check_free(made.output, made.digest)
    places.put(publish.work_of(made.output) / "x" / "y", b"")
    assert made.output not in publish.leftovers(made.output)
    assert publish.work_of(made.output) in publish.leftovers(made.output)


def test_what_did_not_fit_on_the_disk_is_missing(tmp_path: Path) -> None:
    cube = Cube(axes=(replace(POLAR, width=40, height=40),))
    random = np.random.default_rng(5).random(cube.shape)  # its bytes do not fit into the changes
    made = replace(sink(tmp_path, cube), variables={"h_li_mean": specs(cube)["h_li_mean"]})
    made.prepare()
    with full_disk(16), pytest.raises(AccessError, match="cannot be written: File too large"):
        made.write(0, {"h_li_mean": random})
    assert made.missing() == (0,)
    made.write(0, {"h_li_mean": random})
    made.publish()
    with open_repository(made.output) as opened:
        assert opened["h_li_mean"].values.tolist() == random.tolist()


def test_chunks_go_straight_into_the_repository_and_the_granules_are_named_once(folder: Place) -> None:
    big = Cube(axes=(replace(POLAR, width=600, height=300),), tile_shape=(100, 200))
    names = [f"granule {number}" for number in range(10_000)]
    spec = {"h_li_mean": specs(big)["h_li_mean"]}
    made = replace(sink(folder, big), variables=spec, attributes={DIGEST: DIGEST_OF_JOB, "all": names})
    made.prepare()
    values = np.random.default_rng(5).random(big.shape)
    for tile in range(big.tiles):
        made.write(tile, {"h_li_mean": values[big.block(tile)]})
    assert max(places.sizes(made._folder).values()) < 10_000 < len(zlib.compress(str(names).encode()))
    chunks = places.sizes(made.output / "chunks").values()
    assert sum(size > 100_000 for size in chunks) == big.tiles == 9
    made.publish()
    with open_repository(made.output) as opened:
        assert opened["h_li_mean"].values.tobytes() == values.tobytes()
        assert opened.attrs["all"] == names


def test_what_icechunk_cannot_do_is_told_in_a_sentence(folder: Place) -> None:
    made = fill(sink(folder))
    made.publish()
    places.remove(made.output / "snapshots")
    with pytest.raises(AccessError, match=r"out\.icechunk cannot be read: [^|>]{4,200}$"):
        open_repository(made.output)
    with pytest.raises(AccessError, match=r"out\.icechunk cannot be read: [^|>]{4,200}$"):
        check_free(made.output, made.digest)


def test_keys_are_not_left_among_what_was_changed(bucket: BucketPath) -> None:
    made = fill(sink(bucket))
    found = [(made._folder / name).read_bytes() for name in places.sizes(made._folder)]
    assert len(found) == 1 + CUBE.tiles
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    assert not any(secret in each for each in found)


def test_a_missing_package_and_other_wishes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require(Path("/out.icechunk"), 3)
    with pytest.raises(RecipeError, match="holds Zarr 3 only"):
        require(Path("/out.icechunk"), 2)
    for root in ("memory://", "gs://bucket"):
        with pytest.raises(RecipeError, match="lies on a disk or in a bucket of S3"):
            require(BucketPath(root, "out"), 3)
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(RecipeError, match=r"not installed.*pip install 'eoscale\[icechunk\]'"):
        require(Path("/out.icechunk"), 3)


def test_no_module_imports_the_package_at_its_top() -> None:
    package = Path(eoscale.__file__).parent
    texts = {path.name: path.read_text("utf-8") for path in package.rglob("*.py")}
    assert re.search(r"^ +from icechunk import", texts["repository.py"], re.MULTILINE)
    assert not [
        name for name, text in texts.items() if re.search(r"^(from|import) icechunk", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_commit_whose_answer_was_lost_is_one_commit(
    bucket: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    made = fill(sink(bucket))
    with server.losing(loss, ending="ref.json") as lost:
        made.publish()
    assert len(lost) == 1
    assert history(made.output) == [DIGEST_OF_JOB, ""]
    check(made.output)


@contextmanager
def killing(server: ForgetfulServer, puts: int) -> Iterator[list[ForkServerProcess]]:
    """Kill the process that is put into a list once it has put so many objects, before it hears of that."""
    running = server._server._server
    assert running is not None
    application, left, victims = running.app, [puts], list[ForkServerProcess]()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answered: Iterable[bytes] = application(environ, start_response)
        left[0] -= environ["REQUEST_METHOD"] == "PUT"
        if not left[0] and victims:
            victims[0].kill()
        return answered

    running.app = answer
    try:
        yield victims
    finally:
        running.app = application


def commit_all(folder: Place, go: Path) -> None:
    """Publish when told so, as a process of its own."""
    while not go.exists():
        sleep(0.001)
    sink(folder).publish()


def test_killed_after_any_object_of_its_commit_it_has_committed_all_or_nothing(
    bucket: BucketPath, server: ForgetfulServer, tmp_path: Path
) -> None:
    fill(other(bucket)).publish()
    before = held(fill(sink(bucket)).output)
    deaths = 0
    with at_hand(__name__):
        while held(bucket / "out.icechunk") == before:
            deaths += 1
            go = tmp_path / f"{deaths}"
            with killing(server, deaths) as victims:
                victims.append(began(partial(commit_all, bucket, go), Moment(), server.environment()))
                go.touch()
                victims[0].join()
            assert victims[0].exitcode == -signal.SIGKILL
    assert deaths >= 4  # a manifest, the snapshot, what changed, and where main stands
    assert history(bucket / "out.icechunk") == [DIGEST_OF_JOB, OTHERS_JOB, ""]
    check(bucket / "out.icechunk")
