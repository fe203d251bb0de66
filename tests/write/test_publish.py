from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError
from eoscale.write import places, publish
from eoscale.write.claims import advance, claim_of, claimed
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST, FACTS
from eoscale.write.whole import whole
from tests.write.forgetful import ForgetfulServer

MINE, OTHER = "a" * 64, "b" * 64


def store(output: Place, digest: str, zarr_format: int = 3) -> Place:
    """Make what a job publishes, as far as its digest goes."""
    if zarr_format == 3:
        document = {"zarr_format": 3, "node_type": "group", "attributes": {DIGEST: digest}}
        return filled(output, {"zarr.json": json.dumps(document)})
    return filled(output, {".zattrs": json.dumps({DIGEST: digest}), ".zgroup": '{"zarr_format": 2}'})


def filled(output: Place, texts: Mapping[str, str]) -> Place:
    """Make a folder of some objects."""
    places.make(output)
    for name, text in texts.items():
        places.put(output / name, text.encode())
    return output


def texts(output: Place) -> dict[str, str]:
    """Return the objects of a folder."""
    found = places.contents(output, [*places.sizes(output)])
    return {name: found.get(name, b"").decode() for name in places.sizes(output)}


def hidden(output: Path) -> Path:
    made = publish.staging(output, MINE)
    assert isinstance(made, Path)
    filled(made, {"zarr.json": "{}"})
    return made


@given(
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_each_job_has_a_hidden_sibling_of_its_own(one: str, other: str) -> None:
    output = Path("data/out.zarr")
    made = publish.staging(output, one)
    assert isinstance(made, Path)
    assert made.parent == output.parent
    assert made.name.startswith(".out.zarr.")
    assert (made == publish.staging(output, other)) == (one[:16] == other[:16])


@given(
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_in_a_bucket_each_job_has_a_hidden_folder_of_its_own_in_the_work_folder(one: str, other: str) -> None:
    output = BucketPath.of("memory://data/out.csv")
    made = publish.staging(output, one)
    assert str(made).startswith(f"{publish.work_of(output)}/.")
    assert (made == publish.staging(output, other)) == (one[:16] == other[:16])


def test_where_nothing_is_the_output_has_to_be_made(folder: Place) -> None:
    assert publish.published(folder / "out.zarr") is None
    assert publish.check_free(folder / "out.zarr", MINE)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_this_job_published_is_not_made_again(folder: Place, zarr_format: int) -> None:
    output = store(folder / "out.zarr", MINE, zarr_format)
    assert publish.published(output) == MINE
    assert not publish.check_free(output, MINE)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_another_job_published_is_a_conflict_that_names_it(folder: Place, zarr_format: int) -> None:
    output = store(folder / "out.zarr", OTHER, zarr_format)
    with pytest.raises(ConflictError, match=r"job bbbbbbbbbbbb published it; .*choose another output"):
        publish.check_free(output, MINE)


FOREIGN: dict[str, dict[str, str]] = {
    "a folder of texts": {"readme.txt": "mine", "deep/er.txt": "mine"},
    "no attributes": {"zarr.json": "{}"},
    "empty attributes": {"zarr.json": '{"attributes": {}}'},
    "other attributes": {"zarr.json": '{"attributes": {"title": "x"}}'},
    "zarr 2": {".zattrs": "{}", ".zgroup": "{}"},
    "zarr 2 without attributes": {".zgroup": "{}"},
    "attributes alone": {".zattrs": json.dumps({DIGEST: MINE})},
    "cut": {"zarr.json": '{"attributes"'},
    "a list": {"zarr.json": "[]"},
    "a number": {"zarr.json": '{"attributes": 3}'},
    "nothing": {"zarr.json": ""},
    "no words": {".zattrs": "\x00", ".zgroup": "{}"},
}
each_foreign = pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())


def foreign(output: Place, content: Mapping[str, str]) -> Place:
    """Make something that is no store of eoscale."""
    for name in content:
        places.make(output / name.rpartition("/")[0] if "/" in name else output)
    return filled(output, content)


@each_foreign
@pytest.mark.parametrize("known", ["", MINE])
def test_anything_foreign_is_a_conflict_and_stays_as_it_is(
    folder: Place, content: dict[str, str], known: str
) -> None:
    """A folder speaks for itself, whatever the ledger knows."""
    output = foreign(folder / "out.zarr", content)
    assert publish.published(output) in ("", None)
    with pytest.raises(ConflictError, match=r"no store of eoscale|objects lie below .*, and no store"):
        publish.check_free(output, MINE, known=known)
    assert texts(output) == content


@each_foreign
def test_on_a_disk_nothing_is_revealed_where_anything_is(tmp_path: Path, content: dict[str, str]) -> None:
    output = tmp_path / "out.zarr"
    made = hidden(output)
    foreign(output, content)
    assert publish.published(output) == ""
    with pytest.raises(ConflictError, match="came into being"):
        publish.reveal(made, output)
    assert texts(output) == content
    assert made.exists()


def test_an_empty_folder_is_something_too(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    made = hidden(output)
    output.mkdir()
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE)
    with pytest.raises(ConflictError, match="came into being"):
        publish.reveal(made, output)
    assert list(output.iterdir()) == []


def test_an_object_where_the_output_goes_is_foreign(folder: Place) -> None:
    output = folder / "out.zarr"
    places.put(output, b"mine")
    assert publish.published(output) == ""
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE)
    assert output.read_bytes() == b"mine"


def test_what_an_attempt_at_the_job_has_begun_in_a_bucket_goes_on(bucket: BucketPath) -> None:
    output = filled(bucket / "out.zarr", {"h/zarr.json": "{}", "h/c/0/0": "x"})
    with pytest.raises(ConflictError, match=f"objects lie below .*`eoscale gc {output}`"):
        publish.check_free(output, MINE)
    assert publish.check_free(output, MINE, begun=True)
    assert texts(output) == {"h/zarr.json": "{}", "h/c/0/0": "x"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_was_published_is_no_less_a_conflict_to_an_attempt_that_has_begun(
    bucket: BucketPath, zarr_format: int
) -> None:
    output = store(bucket / "out.zarr", OTHER, zarr_format)
    with pytest.raises(ConflictError, match="job bbbbbbbbbbbb published it"):
        publish.check_free(output, MINE, begun=True)


def test_outputs_whose_names_begin_alike_are_told_apart(folder: Place) -> None:
    for name in ("out.zarr2", "out.zarr.work", "out"):
        store(folder / name, OTHER)
    assert publish.published(folder / "out.zarr") is None
    assert publish.check_free(folder / "out.zarr", MINE)


def test_a_link_that_leads_nowhere_is_something_too(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    output.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError):
        publish.check_free(output, MINE)
    with pytest.raises(ConflictError):
        publish.reveal(hidden(output), output)
    assert output.is_symlink()


def test_revealing_is_one_rename(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    made = hidden(output)
    inode = made.stat().st_ino
    publish.reveal(made, output)
    assert output.stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_an_output_that_appears_while_it_is_made_wins(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    assert publish.check_free(output, MINE)
    made = hidden(output)
    store(output, OTHER)
    with pytest.raises(ConflictError, match="came into being while it was made: choose another output"):
        publish.reveal(made, output)
    assert publish.published(output) == OTHER
    assert made.exists()


def test_of_two_that_reveal_at_once_exactly_one_wins_and_keeps_its_bytes(tmp_path: Path) -> None:
    for race in range(200):
        output, start = tmp_path / f"{race}.zarr", Barrier(2)

        def reveal(name: str, output: Path = output, start: Barrier = start) -> str:
            hidden = output.with_name(publish.staging(output, name * 64).name)
            filled(hidden, {"zarr.json": name})
            start.wait()
            try:
                publish.reveal(hidden, output)
            except ConflictError:
                return "lost"
            return name

        with ThreadPoolExecutor(2) as pool:
            winner, loser = sorted(pool.map(reveal, "ab"), key=lambda ended: ended == "lost")
        assert loser == "lost"
        assert (output / "zarr.json").read_text() == winner


# files


def parquet(output: Path, metadata: dict[bytes, bytes]) -> Path:
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata(metadata), output)
    return output


def file(output: Path, name: str) -> Path:
    """Make what is to become an output that is a file."""
    made = output.with_name(f".{output.name}.{name * 16}")
    made.write_text(name)
    return made


def test_a_parquet_file_tells_its_job_whatever_it_is_called(tmp_path: Path) -> None:
    output = parquet(tmp_path / "out.any", {FACTS: json.dumps({DIGEST: MINE}).encode()})
    assert publish.published(output) == MINE
    assert not publish.check_free(output, MINE)
    with pytest.raises(ConflictError, match="job aaaaaaaaaaaa published it"):
        publish.check_free(output, OTHER, known=OTHER)


@pytest.mark.parametrize("facts", [None, b"", b"{", b"[]", b"{}", b"3", b"\xff"])
def test_another_parquet_file_is_foreign(tmp_path: Path, facts: bytes | None) -> None:
    output = parquet(tmp_path / "out.parquet", {} if facts is None else {FACTS: facts})
    assert publish.published(output) == ""
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE)


@pytest.mark.parametrize("text", ["granule,beam\n", "[]\n", ""])
def test_of_a_text_the_ledger_beside_it_knows_the_job(folder: Place, text: str) -> None:
    output = folder / "out.csv"
    places.put(output, text.encode())
    assert publish.published(output) == ""
    assert not publish.check_free(output, MINE, known=MINE)
    for known, told in {"": "no store of eoscale", OTHER: "job bbbbbbbbbbbb published it"}.items():
        with pytest.raises(ConflictError, match=told):
            publish.check_free(output, MINE, known=known)
    assert output.read_bytes() == text.encode()


def test_a_table_in_a_bucket_is_not_opened_and_its_ledger_knows_the_job(
    bucket: BucketPath, tmp_path: Path, server: ForgetfulServer
) -> None:
    told = parquet(tmp_path / "out.parquet", {FACTS: json.dumps({DIGEST: OTHER}).encode()})
    output = bucket / "out.parquet"
    output.write_bytes(told.read_bytes())
    before = server.answered.copy()
    assert not publish.check_free(output, MINE, known=MINE)
    asked = server.answered - before
    assert {method for method, _ in asked} == {"HEAD"}
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE)


def test_a_ledger_alone_is_no_output(folder: Place) -> None:
    assert publish.check_free(folder / "out.csv", MINE, known=MINE)


def test_a_file_is_revealed_as_it_is_under_one_name(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    made = file(output, "a")
    inode = made.stat().st_ino
    publish.reveal(made, output)
    assert output.stat().st_ino == inode
    assert output.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [output]


def test_of_two_files_that_are_revealed_at_once_exactly_one_wins_and_keeps_its_bytes(tmp_path: Path) -> None:
    races = by_a_hair = 0
    # in some races at least, both have looked and found nothing there before either is revealed
    while races < 200 or (not by_a_hair and races < 5000):
        races += 1
        output, start = tmp_path / f"{races}.csv", Barrier(2)

        def reveal(name: str, output: Path = output, start: Barrier = start) -> ConflictError | str:
            made = file(output, name)
            start.wait()
            try:
                publish.reveal(made, output)
            except ConflictError as conflict:
                return conflict
            return name

        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(reveal, "ab"))
        (winner,) = [each for each in ended if isinstance(each, str)]
        (lost,) = [each for each in ended if isinstance(each, ConflictError)]
        by_a_hair += isinstance(lost.__cause__, FileExistsError)
        assert output.read_text() == winner
    assert by_a_hair


def test_a_file_is_put_into_a_bucket_only_where_there_is_none(bucket: BucketPath, tmp_path: Path) -> None:
    made = tmp_path / "whole"
    made.write_text("mine")
    publish.reveal(made, bucket / "out.csv")
    publish.reveal(made, bucket / "out.csv")  # it is there as it was given
    made.write_text("other")
    with pytest.raises(ConflictError, match="came into being while it was made"):
        publish.reveal(made, bucket / "out.csv")
    assert texts(bucket) == {"out.csv": "mine"}


def test_of_two_files_that_go_into_a_bucket_at_once_exactly_one_wins_and_keeps_its_bytes(
    bucket: BucketPath, tmp_path: Path, server: ForgetfulServer
) -> None:
    refused = server.answered["PUT", "412"]
    for race in range(20):
        output, start = bucket / f"{race}.csv", Barrier(2)

        def reveal(name: str, output: BucketPath = output, start: Barrier = start) -> str:
            made = file(tmp_path / output.name, name)
            start.wait()
            try:
                publish.reveal(made, output)
            except ConflictError:
                return "lost"
            return name

        with ThreadPoolExecutor(2) as pool:
            winner, loser = sorted(pool.map(reveal, "ab"), key=lambda ended: ended == "lost")
        assert loser == "lost"
        assert output.read_bytes().decode() == winner
    assert server.answered["PUT", "412"] == refused + 20


# what attempts leave


def test_what_is_left_beside_an_output_is_found_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "out[1]"
    with whole(tmp_path / "out[1].ledger.parquet") as ledger:
        ledger.touch()
    staging = tmp_path / publish.staging(output, MINE, OTHER).name
    with whole(staging / "h" / "0.0", near=staging) as chunk:
        (staging / "h").mkdir(parents=True)
        chunk.touch()
    shutil.rmtree(staging)
    hidden = [staging, tmp_path / publish.staging(output, OTHER).name, ledger, chunk]
    hidden.append(tmp_path / f".out[1].claim.{'0' * 12}")
    mine = [tmp_path / claim_of(output).name, tmp_path / publish.work_of(output).name, *hidden]
    others = [output, *(tmp_path / name for name in (".out[1].zarr." + "a" * 16, "out1.claim", "other"))]
    for path in (*mine, *others, tmp_path / ".out[1].hidden", tmp_path / f".out[1].{'a' * 17}"):
        path.mkdir()
    assert publish.siblings(output) == sorted(hidden)
    assert {*publish.leftovers(output)} == {*mine}
    assert len(publish.leftovers(output)) == len(mine) == 7


def test_what_is_left_of_an_output_in_a_bucket_is_found_and_nothing_else(bucket: BucketPath) -> None:
    output = bucket / "out.csv"
    staging = [publish.staging(output, digest, OTHER) for digest in (MINE, OTHER)]
    names = ["out.csv.work/a/job.json", "out.csv.ledger.parquet", "out.csv2", "out.csv.work2/x", "x/out.csv"]
    filled(bucket, dict.fromkeys(names, "x"))
    assert publish.siblings(output) == []
    assert publish.leftovers(output) == [publish.work_of(output)]
    for each in staging:
        places.put(each / "0000-0009", b"x")
    places.put(claim_of(output), b"{}")
    assert publish.siblings(output) == sorted(staging)
    assert publish.leftovers(output) == [claim_of(output), publish.work_of(output)]
    for left in publish.leftovers(output):
        places.remove(left)
    assert publish.leftovers(output) == publish.siblings(output) == []
    assert {*texts(bucket)} == {*names[1:]}


@pytest.mark.parametrize("trace", ["claim", "work folder"])
def test_what_an_attempt_put_below_an_output_in_a_bucket_is_left_of_it(
    bucket: BucketPath, trace: str
) -> None:
    output = filled(bucket / "out.zarr", {"h/zarr.json": "{}", "h/c/0": "x"})
    assert publish.leftovers(output) == [], "it may be somebody else's"
    if trace == "claim":
        advance(output, MINE, "5" * 64)
    else:
        places.put(publish.work_of(output) / MINE[:16] / "job.json", b"{}")
    beside = claim_of(output) if trace == "claim" else publish.work_of(output)
    assert publish.leftovers(output) == [output, beside]
    for left in publish.leftovers(output):
        places.remove(left)
    assert places.sizes(bucket) == {}


def test_a_claim_of_an_attempt_that_had_put_nothing_leaves_what_lies_below_alone(bucket: BucketPath) -> None:
    output = filled(bucket / "out.zarr", {"theirs.txt": "theirs"})
    with claimed(output, MINE):
        assert publish.leftovers(output) == [claim_of(output)]
    assert publish.leftovers(output) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_was_published_is_never_left_of_an_attempt(folder: Place, zarr_format: int) -> None:
    output = store(folder / "out.zarr", MINE, zarr_format)
    places.make(publish.work_of(output) / MINE[:16])
    places.put(publish.work_of(output) / MINE[:16] / "job.json", b"{}")
    advance(output, MINE, "5" * 64)
    assert publish.leftovers(output) == [claim_of(output), publish.work_of(output)]
