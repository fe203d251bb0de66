from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import ConflictError
from eoscale.write import publish
from eoscale.write.publish import DIGEST, FACTS
from eoscale.write.whole import whole

MINE, OTHER = "a" * 64, "b" * 64


def store(output: Path, digest: str, zarr_format: int = 3) -> Path:
    """Make what a job publishes, as far as its digest goes."""
    output.mkdir(parents=True)
    if zarr_format == 3:
        document = {"zarr_format": 3, "node_type": "group", "attributes": {DIGEST: digest}}
        (output / "zarr.json").write_text(json.dumps(document))
    else:
        (output / ".zattrs").write_text(json.dumps({DIGEST: digest}))
    return output


def hidden(output: Path) -> Path:
    made = publish.staging(output, MINE)
    made.mkdir()
    (made / "zarr.json").write_text("{}")
    return made


@given(
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_each_job_has_a_hidden_sibling_of_its_own(one: str, other: str) -> None:
    output = Path("data/out.zarr")
    place = publish.staging(output, one)
    assert place.parent == output.parent
    assert place.name.startswith(".out.zarr.")
    assert (place == publish.staging(output, other)) == (one[:16] == other[:16])


def test_where_nothing_is_the_output_has_to_be_made(tmp_path: Path) -> None:
    assert publish.published(tmp_path / "out.zarr") is None
    assert publish.check_free(tmp_path / "out.zarr", MINE)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_this_job_published_is_not_made_again(tmp_path: Path, zarr_format: int) -> None:
    output = store(tmp_path / "out.zarr", MINE, zarr_format)
    assert publish.published(output) == MINE
    assert not publish.check_free(output, MINE)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_another_job_published_is_a_conflict_that_names_it(tmp_path: Path, zarr_format: int) -> None:
    output = store(tmp_path / "out.zarr", OTHER, zarr_format)
    with pytest.raises(ConflictError, match=r"job bbbbbbbbbbbb published it; .*choose another output"):
        publish.check_free(output, MINE)


FOREIGN: dict[str, dict[str, str] | None] = {
    "a file": None,
    "an empty folder": {},
    "a folder of texts": {"readme.txt": "mine"},
    "no attributes": {"zarr.json": "{}"},
    "empty attributes": {"zarr.json": '{"attributes": {}}'},
    "other attributes": {"zarr.json": '{"attributes": {"title": "x"}}'},
    "zarr 2": {".zattrs": "{}"},
    "cut": {"zarr.json": '{"attributes"'},
    "a list": {"zarr.json": "[]"},
    "a number": {"zarr.json": '{"attributes": 3}'},
    "nothing": {".zattrs": ""},
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_anything_foreign_is_a_conflict_and_stays_as_it_is(
    tmp_path: Path, content: dict[str, str] | None
) -> None:
    output = tmp_path / "out.zarr"
    if content is None:
        output.write_text("mine")
    else:
        output.mkdir()
        for name, text in content.items():
            (output / name).write_text(text)
    assert publish.published(output) == ""
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE)
    with pytest.raises(ConflictError, match="came into being"):
        publish.reveal(hidden(output), output)
    if content is None:
        assert output.read_text() == "mine"
    else:
        assert {path.name: path.read_text() for path in output.iterdir()} == content


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


def test_what_is_left_of_an_attempt_is_removed_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    other = publish.staging(output, OTHER)
    other.mkdir()
    publish.discard(hidden(output))
    publish.discard(publish.staging(output, MINE))
    assert list(tmp_path.iterdir()) == [other]


def test_of_two_that_reveal_at_once_exactly_one_wins_and_keeps_its_bytes(tmp_path: Path) -> None:
    for race in range(200):
        output, start = tmp_path / f"{race}.zarr", Barrier(2)

        def reveal(name: str, output: Path = output, start: Barrier = start) -> str:
            hidden = publish.staging(output, name * 64)
            hidden.mkdir()
            (hidden / "zarr.json").write_text(name)
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
    made = publish.staging(output, name * 64)
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
def test_of_a_text_the_ledger_beside_it_knows_the_job(tmp_path: Path, text: str) -> None:
    output = tmp_path / "out.csv"
    output.write_text(text)
    assert publish.published(output) == ""
    assert not publish.check_free(output, MINE, known=MINE)
    for known, told in {"": "no store of eoscale", OTHER: "job bbbbbbbbbbbb published it"}.items():
        with pytest.raises(ConflictError, match=told):
            publish.check_free(output, MINE, known=known)
    assert output.read_text() == text


@pytest.mark.parametrize("content", [each for each in FOREIGN.values() if each is not None])
def test_a_folder_speaks_for_itself_whatever_the_ledger_knows(
    tmp_path: Path, content: dict[str, str]
) -> None:
    output = tmp_path / "out.zarr"
    output.mkdir()
    for name, text in content.items():
        (output / name).write_text(text)
    with pytest.raises(ConflictError, match="no store of eoscale"):
        publish.check_free(output, MINE, known=MINE)


def test_a_ledger_alone_is_no_output(tmp_path: Path) -> None:
    assert publish.check_free(tmp_path / "out.csv", MINE, known=MINE)


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


def test_a_claim_stands_while_the_output_is_made_and_goes_however_that_ends(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out.zarr"
    with publish.claimed(output, MINE):
        assert json.loads(publish.claim_of(output).read_text())[DIGEST] == MINE
    assert publish.leftovers(output) == []
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), publish.claimed(output, MINE):
            raise error
        assert list(output.parent.iterdir()) == []


def test_another_job_is_told_who_holds_the_claim_and_what_to_do(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    told = rf"claimed by job {MINE[:12]} since \d{{4}}-.* on .*`eoscale gc "
    with publish.claimed(output, MINE):
        with pytest.raises(ConflictError, match=told), publish.claimed(output, OTHER):
            raise AssertionError
        assert publish.leftovers(output) == [publish.claim_of(output)]
    with publish.claimed(output, OTHER):
        pass


def test_the_same_job_takes_over_the_claim_of_an_attempt_that_died(tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    publish.claim_of(output).write_text(json.dumps({DIGEST: MINE}))
    with pytest.raises(ConflictError, match="since unknown"), publish.claimed(output, OTHER):
        raise AssertionError
    with publish.claimed(output, MINE):
        assert publish.claim_of(output).exists()
    assert not publish.claim_of(output).exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"eoscale_job": '])
def test_a_damaged_claim_is_somebody_elses(tmp_path: Path, text: str) -> None:
    output = tmp_path / "out.zarr"
    publish.claim_of(output).write_text(text)
    with pytest.raises(ConflictError, match="job unknown"), publish.claimed(output, MINE):
        raise AssertionError
    assert publish.claim_of(output).read_text() == text


def test_of_two_jobs_that_claim_an_output_at_once_exactly_one_proceeds(tmp_path: Path) -> None:
    started, leaving = Barrier(2), Barrier(2)

    def attempt(output: Path, digest: str) -> bool:
        started.wait()
        try:
            with publish.claimed(output, digest):
                leaving.wait()  # neither leaves before both have tried
                return True
        except ConflictError:
            leaving.wait()
            return False

    with ThreadPoolExecutor(2) as pool:
        for number in range(200):
            output = tmp_path / f"{number}.zarr"
            tried = [pool.submit(attempt, output, digest) for digest in (MINE, OTHER)]
            assert sorted(each.result() for each in tried) == [False, True]
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_beside_an_output_is_found_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "out[1]"
    with whole(tmp_path / "out[1].ledger.parquet") as ledger:
        ledger.touch()
    hidden = [publish.staging(output, MINE, OTHER), publish.staging(output, OTHER), ledger]
    hidden.append(tmp_path / f".out[1].claim.{'0' * 12}")
    mine = [publish.claim_of(output), publish.work_of(output), *hidden]
    others = [output, publish.staging(tmp_path / "out[1].zarr", MINE), publish.claim_of(tmp_path / "out1")]
    for path in (*mine, *others, tmp_path / ".out[1].hidden", tmp_path / "other"):
        path.mkdir()
    assert publish.siblings(output) == sorted(hidden)
    assert sorted(publish.leftovers(output)) == sorted(mine)
