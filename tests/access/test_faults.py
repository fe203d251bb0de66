"""Ten thousand reads from a server that answers one GET in ten badly, and what others make of the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.errors import AccessError, ChangedError, CorruptGranuleError, ThrottledError
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from tests.access import pieces
from tests.access.trials import (
    FAULTS,
    LASTING,
    PASSING,
    RAISES,
    RIGHT,
    THREADS,
    WRONG,
    Trial,
    Trials,
    gets,
    outcomes,
    table,
    tried,
)
from tests.hdf5.files import granule, oracle, same
from tests.servers.peers import PEERS
from tests.servers.ranges import Fault, RangeServer, seeded

RANGES, CHUNKS, PEER_RANGES = 2_000, 1_000, 500
"""How many are read: by each client of ours; of each dataset; by each peer."""
CLIENTS = {
    "eoscale": "http://{host}/{path}",
    "eoscale, signed URL": "http://{host}/{path}?X-Signature=1",
    "eoscale, S3": "s3://{path}",
}
"""By their URLs, which different transports read."""
SEED = 8
"""With it no fault is rare."""
ATTEMPTS = 6
ROWS = 64
"""Of a chunk."""
PACKINGS: Mapping[str, Mapping[str, object]] = {
    "shuffle, deflate": {"shuffle": True, "compression": "gzip"},
    "fletcher32": {"fletcher32": True},
    "deflate, fletcher32": {"compression": "gzip", "fletcher32": True},
    "unfiltered": {},
}


def allow(environment: pytest.MonkeyPatch, server: RangeServer) -> None:
    """Have a server read by http and as an S3 service."""
    environment.setenv("EOSCALE_ALLOW_HOSTS", server.host)
    environment.setenv("EOSCALE_S3_ENDPOINT", f"http://{server.host}")
    environment.setenv("AWS_ACCESS_KEY_ID", "key")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")


def got(url: str, etag: str, start: int, stop: int) -> bytes:
    (piece,), _ = pieces.read(url, etag, np.array([start]), np.array([stop - start]))
    return bytes(piece)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    """Return a server of a folder that is a bucket too, and let us read from it."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "bucket").mkdir()
    with RangeServer(folder) as server, pytest.MonkeyPatch.context() as environment:
        allow(environment, server)
        environment.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        server.pause = 0  # that a range is not asked for too soon is shown below
        yield server


@pytest.fixture(scope="module")
def places() -> list[tuple[int, int]]:
    dice = random.Random(11)  # noqa: S311  no secret
    return [(stop - dice.randint(1, 600), stop) for stop in range(600, 600 + 40 * RANGES, 40)]


@pytest.fixture(scope="module")
def content(server: RangeServer, places: list[tuple[int, int]]) -> bytes:
    """Return what lies at ``bucket/a.bin``: no two pieces of it are alike."""
    content = random.Random(12).randbytes(max(stop for _, stop in places) + 1)  # noqa: S311  no secret
    (server.folder / "bucket" / "a.bin").write_bytes(content)
    return content


@pytest.fixture(scope="module")
def ours(server: RangeServer, content: bytes, places: list[tuple[int, int]]) -> Trials:
    """Return what comes of ranges that are read one by one."""

    def of(form: str) -> list[Trial]:
        url = form.format(host=server.host, path="bucket/a.bin")
        etag = pieces.head(url).etag

        def right(number: int) -> bool:
            start, stop = places[number]
            return got(url, etag, start, stop) == content[start:stop]

        return tried(server, seeded(SEED, 0.1, FAULTS), places, right, (AccessError,))

    return {name: of(form) for name, form in CLIENTS.items()}


@pytest.fixture(scope="module")
def chunks(server: RangeServer) -> Trials:
    """Return what comes of the chunks of datasets, read one by one, by how they are packed."""
    path = server.folder / "a.h5"
    values = np.random.default_rng(14).integers(0, 1000, CHUNKS * ROWS, np.int32)
    with h5py.File(path, "w") as file:
        for packing, options in PACKINGS.items():
            file.create_dataset(packing, data=values, chunks=(ROWS,), **options)
    chunk_table = index(granule(server.url("a.h5")), PACKINGS)

    def of(packing: str) -> list[Trial]:
        dataset, expected = chunk_table.datasets[packing], oracle(path, packing)
        starts, stops = dataset.offsets.ravel(), (dataset.offsets + dataset.sizes).ravel()

        def right(number: int) -> bool:
            rows = np.arange(ROWS) + number * ROWS
            return same(read(chunk_table, {packing: rows}).columns[packing], expected[rows])

        lie = list(zip(starts.tolist(), stops.tolist(), strict=True))
        return tried(server, seeded(SEED, 0.1, FAULTS), lie, right, (AccessError, CorruptGranuleError))

    return {packing: of(packing) for packing in PACKINGS}


@pytest.fixture(scope="module")
def peers(server: RangeServer, content: bytes, places: list[tuple[int, int]]) -> Trials:
    """Return what others make of the same faults: each of them gets the same, to every second GET."""
    url = server.url("bucket/a.bin")

    def of(name: str) -> list[Trial]:
        with PEERS[name].opened(url, THREADS) as read:

            def right(number: int) -> bool:
                start, stop = places[number]
                return read(start, stop) == content[start:stop]

            return tried(server, seeded(SEED, 0.5, FAULTS), places[:PEER_RANGES], right, PEERS[name].errors)

    return {name: of(name) for name in PEERS}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """Return a server of one test."""
    (tmp_path / "bucket").mkdir()
    with RangeServer(tmp_path) as server:
        allow(monkeypatch, server)
        yield server


def test_no_range_is_accepted_that_its_length_or_its_tag_tells(ours: Trials, chunks: Trials) -> None:
    for trials in (*ours.values(), *chunks.values()):
        for fault in LASTING:
            count = outcomes(trials, fault)
            assert set(count) == {RAISES}, fault
            assert count.total() > len(trials) / 1000
    for trial in chain(*ours.values(), *chunks.values()):
        if trial.fault in LASTING:
            assert isinstance(trial.error, ChangedError if trial.fault is Fault.RETAGGED else AccessError)
            assert trial.met.index(trial.fault) == len(trial.met) - 1, "it was asked for again"


def test_what_passes_by_itself_is_read_after_all(ours: Trials, chunks: Trials) -> None:
    for trials in (*ours.values(), *chunks.values()):
        for fault in PASSING:
            count = outcomes(trials, fault)
            assert set(count) == {RIGHT}, fault
            assert count.total() > len(trials) / 1000
        assert set(outcomes(trials, None)) == {RIGHT}


def test_every_fault_was_met_as_often_as_seeds_of_even_odds_meet_it(ours: Trials, chunks: Trials) -> None:
    trials = [trial for some in (*ours.values(), *chunks.values()) for trial in some]
    for fault in (*LASTING, *PASSING):
        assert outcomes(trials, fault).total() > len(trials) / 300, fault


def test_a_flipped_bit_is_told_by_what_a_chunk_was_packed_with(chunks: Trials) -> None:
    for packing in PACKINGS:
        flipped = [trial for trial in chunks[packing] if trial.fault is Fault.FLIPPED]
        assert len(flipped) > CHUNKS / 300
        # a bit may be one that nothing is kept in, at the end of a deflate stream
        harmless = [trial for trial in flipped if trial.outcome is RIGHT]
        told = [trial for trial in flipped if type(trial.error) is CorruptGranuleError]
        assert len(harmless) + len(told) == (len(flipped) if PACKINGS[packing] else 0)
        assert len(told) > len(harmless) or not PACKINGS[packing]


def test_a_flipped_bit_of_plain_bytes_is_the_only_fault_that_nobody_tells(
    ours: Trials, chunks: Trials, peers: Trials
) -> None:
    for trials in (*ours.values(), chunks["unfiltered"]):
        assert {trial.fault for trial in trials if trial.outcome is WRONG} == {Fault.FLIPPED}
    for trials in (*ours.values(), *peers.values()):
        assert set(outcomes(trials, Fault.FLIPPED)) == {WRONG}


def test_no_range_is_asked_for_more_than_six_times(ours: Trials, chunks: Trials) -> None:
    for trials in (*ours.values(), *chunks.values()):
        assert 1 < max(len(trial.met) for trial in trials) <= ATTEMPTS
        faults = gets(trials) - sum(trial.met.count(None) for trial in trials)
        assert faults > len(trials) / 20
        assert gets(trials) - len(trials) <= faults


@pytest.mark.usefixtures("hasty")
def test_a_fault_that_does_not_pass_is_an_error_after_six_attempts(own: RangeServer) -> None:
    own.pause = 0
    throttled = (Fault.BUSY, Fault.SLOW_DOWN, Fault.THROTTLED)
    errors = {Fault.CUT: AccessError, Fault.RESET: AccessError, **dict.fromkeys(throttled, ThrottledError)}

    def result(fault: Fault, client: str) -> tuple[type[Exception], int]:
        path = f"bucket/{fault.name}-{len(CLIENTS[client])}"
        (own.folder / path).write_bytes(bytes(1000))
        url = CLIENTS[client].format(host=own.host, path=path)
        etag = pieces.head(url).etag
        own.faults[f"/{path}"] = fault
        with pytest.raises(AccessError) as raised:
            got(url, etag, 5, 105)
        return type(raised.value), own.numbers[f"/{path}"]

    cases = list(product(errors, CLIENTS))
    with ThreadPoolExecutor(len(cases)) as pool:  # they wait beside each other
        results = dict(zip(cases, pool.map(result, *zip(*cases, strict=True)), strict=True))
    assert results == {(fault, client): (errors[fault], ATTEMPTS) for fault, client in cases}


@pytest.mark.parametrize("query", ["", "?X-Signature=1"])
@pytest.mark.parametrize("dated", [False, True])
def test_a_range_is_not_asked_for_again_before_the_server_wants_it(
    own: RangeServer, query: str, *, dated: bool
) -> None:
    (own.folder / "a.bin").write_bytes(bytes(1000))
    url = own.url(f"a.bin{query}")
    etag = pieces.head(url).etag
    first = own.numbers["/a.bin"]
    own.plan = lambda _path, number: Fault.THROTTLED if number in (first, first + 1) else None
    own.dated, own.pause = dated, 1
    assert got(url, etag, 5, 105) == bytes(100)
    waits = own.waits(Fault.THROTTLED)
    assert own.misbehaved == {Fault.THROTTLED: 2}
    assert len(waits) == 2
    # obstore does not show what the server wants: once throttled, a host is asked by the client that does
    seen = waits if query else waits[1:]
    assert all(1 <= wait < 4 for wait in seen)


@pytest.mark.parametrize("name", ["s3fs", "fsspec http", "requests"])
@pytest.mark.parametrize("fault", LASTING)
def test_the_faults_are_real_and_taken_for_data_by_others(peers: Trials, name: str, fault: Fault) -> None:
    assert set(outcomes(peers[name], fault)) == {WRONG}


def test_every_client_met_every_fault_and_the_table_tells_what_came_of_it(
    ours: Trials, chunks: Trials, peers: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = {**ours, **peers}
    for name, trials in {**clients, **chunks}.items():
        for fault in FAULTS:
            assert sum(fault in trial.met for trial in trials) >= 5, (name, fault)
    with capsys.disabled():
        print(f"\n\nRanges\n\n{table(clients)}\n\nChunks, by eoscale\n\n{table(chunks)}\n")  # noqa: T201
