from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError
from eoscale.write import claims, places, publish
from eoscale.write.claims import claim_of, claimed, holder
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss

MINE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def output(folder: Place) -> Place:
    return folder / "out.zarr"


def test_a_claim_stands_while_the_output_is_made_and_goes_however_that_ends(folder: Place) -> None:
    output = folder / "deep" / "out.zarr"
    with claimed(output, MINE):
        assert holder(output)[DIGEST] == MINE
    assert publish.leftovers(output) == []
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), claimed(output, MINE):
            raise error
        assert places.sizes(folder) == {}


def test_another_job_is_told_who_holds_the_claim_and_what_to_do(output: Place) -> None:
    told = rf"claimed by job {MINE[:12]} since \d{{4}}-.* on .*`eoscale gc "
    with claimed(output, MINE):
        with pytest.raises(ConflictError, match=told), claimed(output, OTHER):
            raise AssertionError
        assert publish.leftovers(output) == [claim_of(output)]
        assert holder(output)[DIGEST] == MINE
    with claimed(output, OTHER):
        assert holder(output)[DIGEST] == OTHER


def test_the_same_job_takes_over_the_claim_of_an_attempt_that_died(output: Place) -> None:
    places.put(claim_of(output), json.dumps({DIGEST: MINE}).encode())
    with pytest.raises(ConflictError, match="since unknown"), claimed(output, OTHER):
        raise AssertionError
    with claimed(output, MINE):
        assert holder(output)[DIGEST] == MINE
    assert holder(output) == {}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"eoscale_job": ', "3", "\x00"])
def test_a_damaged_claim_is_somebody_elses(output: Place, text: str) -> None:
    places.put(claim_of(output), text.encode())
    with pytest.raises(ConflictError, match="job unknown"), claimed(output, MINE):
        raise AssertionError
    assert claim_of(output).read_bytes() == text.encode()


def test_where_no_claim_is_nobody_holds_it(output: Place) -> None:
    assert holder(output) == {}


def test_a_claim_says_of_what_the_output_is_made_once_that_is_known(output: Place) -> None:
    with claimed(output, MINE):
        assert holder(output)[claims.STAGE] == ""
        for stage in ("1" * 64, "2" * 64):
            claims.advance(output, MINE, stage)
            assert (holder(output)[DIGEST], holder(output)[claims.STAGE]) == (MINE, stage)
        with pytest.raises(ConflictError, match=f"claimed by job {MINE[:12]}"), claimed(output, OTHER):
            raise AssertionError
        with claimed(output, MINE):
            assert holder(output)[claims.STAGE] == "2" * 64
    assert holder(output) == {}


def races(folder: Place, number: int) -> None:
    """Let two jobs claim an output at once, again and again, and see that exactly one proceeds."""
    started, leaving = Barrier(2), Barrier(2)

    def attempt(output: Place, digest: str) -> bool:
        started.wait()
        try:
            with claimed(output, digest):
                leaving.wait()  # neither leaves before both have tried
                return True
        except ConflictError:
            leaving.wait()
            return False

    with ThreadPoolExecutor(2) as pool:
        for race in range(number):
            output = folder / f"{race}.zarr"
            tried = [pool.submit(attempt, output, digest) for digest in (MINE, OTHER)]
            assert sorted(each.result() for each in tried) == [False, True]
    assert places.sizes(folder) == {}


def test_of_two_jobs_that_claim_an_output_at_once_exactly_one_proceeds(tmp_path: Path) -> None:
    races(tmp_path, 200)


def test_of_two_jobs_that_claim_an_output_in_a_bucket_at_once_exactly_one_proceeds(
    bucket: BucketPath, server: ForgetfulServer
) -> None:
    before = server.answered.copy()
    races(bucket, 20)
    puts = {
        status: number for (method, status), number in (server.answered - before).items() if method == "PUT"
    }
    assert puts == {"200": 20, "412": 20}


# lost answers


@pytest.mark.parametrize("loss", LOSSES)
def test_who_claims_first_proceeds_though_the_answer_was_lost(
    bucket: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    output, before = bucket / "out.zarr", server.answered["PUT", "412"]
    told = f"claimed by job {MINE[:12]}"
    with server.losing(loss) as lost, claimed(output, MINE), pytest.raises(ConflictError, match=told):
        claimed(output, OTHER).__enter__()
    assert lost == [f"/{server.bucket}/{bucket.key}/out.zarr.claim"]
    assert server.answered["PUT", "412"] == before + 2
    assert places.sizes(bucket) == {}


@pytest.mark.parametrize("loss", LOSSES)
def test_who_claims_second_does_not_proceed_though_answers_were_lost(
    bucket: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    output = bucket / "out.zarr"
    with claimed(output, MINE):
        with server.losing(loss, answers=3) as lost, pytest.raises(ConflictError, match="is claimed by job"):
            claimed(output, OTHER).__enter__()
        assert len(lost) == 3
        assert holder(output)[DIGEST] == MINE
