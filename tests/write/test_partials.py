from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from eoscale.model.reduction import Partial
from eoscale.write import partials
from eoscale.write.partials import Part

PARTS = st.builds(
    Part,
    granule=st.integers(0, 10_000),
    variable=st.sampled_from(["h_li", "h_li_sigma", "höhe"]),
    tile=st.integers(0, 4),
)


@st.composite
def partial(draw: st.DrawFn) -> Partial:
    keys = np.array(sorted(draw(st.sets(st.integers(0, 2**62), max_size=8))), np.int64)
    columns = {
        "count": draw(hn.arrays(np.int64, keys.size)),
        "sum": draw(hn.arrays(np.float64, keys.size, elements=st.floats(width=64))),
    }
    return Partial(keys=keys, columns=columns)


FILES = st.dictionaries(PARTS, partial(), max_size=8)


def some(seed: int, parts: int = 3) -> dict[Part, Partial]:
    random = np.random.default_rng(seed)
    return {
        Part(granule, "h_li", granule % 2): Partial(
            keys=np.arange(5), columns={"count": random.integers(0, 9, 5), "sum": random.normal(size=5)}
        )
        for granule in range(parts)
    }


@given(FILES)
@settings(max_examples=30)
def test_what_is_saved_is_loaded_tile_by_tile(parts: dict[Part, Partial]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "0.arrow"
        partials.save(path, parts)
        for tile in range(5):
            loaded = partials.load(path, tile)
            assert loaded == {part: partial for part, partial in parts.items() if part.tile == tile}
            assert list(loaded) == sorted(loaded)


@given(FILES, st.randoms())
@settings(max_examples=30)
def test_the_same_content_in_any_order_gives_the_same_bytes(
    parts: dict[Part, Partial], random: Random
) -> None:
    order = list(parts)
    random.shuffle(order)
    with TemporaryDirectory() as folder:
        first, second = Path(folder) / "0.arrow", Path(folder) / "1.arrow"
        partials.save(first, parts)
        partials.save(second, {part: parts[part] for part in order})
        assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def test_values_keep_every_bit(tmp_path: Path) -> None:
    odd = np.array([0x7FF8000000000001, 0x8000000000000000, 0x7FF0000000000000, 1], np.uint64).view(
        np.float64
    )
    part = Part(0, "h_li", 0)
    partials.save(tmp_path / "0.arrow", {part: Partial(keys=np.arange(4), columns={"sum": odd})})
    assert partials.load(tmp_path / "0.arrow", 0)[part].columns["sum"].tobytes() == odd.tobytes()


def test_a_batch_without_partials_leaves_a_file_without_partials(tmp_path: Path) -> None:
    partials.save(tmp_path / "0.arrow", {})
    assert partials.load(tmp_path / "0.arrow", 0) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["0.arrow"]


def test_a_file_of_another_format_version_is_refused_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(partials, "FORMAT", partials.FORMAT + 1)
        partials.save(tmp_path / "0.arrow", some(1))
    with pytest.raises(ValueError, match=r"0\.arrow is of format 2, expected 1: run with --restart"):
        partials.load(tmp_path / "0.arrow", 0)


def test_a_file_that_is_replaced_does_not_change_what_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    partials.save(path, some(1))
    loaded = partials.load(path, 0)
    partials.save(path, some(2, parts=50))
    assert loaded == {part: partial for part, partial in some(1).items() if part.tile == 0}
    assert partials.load(path, 0) == {p: partial for p, partial in some(2, parts=50).items() if p.tile == 0}
    assert [found.name for found in tmp_path.iterdir()] == ["0.arrow"]


def test_a_reader_sees_one_version_or_the_other_and_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    versions = [{p: partial for p, partial in some(n, parts=40).items() if p.tile == 0} for n in range(2)]
    partials.save(path, some(0, parts=40))
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            for number in range(2):
                partials.save(path, some(number, parts=40))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = [versions.index(partials.load(path, 0)) for _ in range(100)]
    finally:
        done.set()
        writer.join()
    assert set(seen) <= {0, 1}


def test_an_attempt_that_fails_leaves_the_earlier_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    partials.save(path, some(1))
    before = path.read_bytes()
    unlike = {Part(9, "h_li", 0): Partial(keys=np.arange(1), columns={"other": np.zeros(1)})}
    with pytest.raises((ValueError, pa.ArrowException)):
        partials.save(path, {**some(1), **unlike})
    assert path.read_bytes() == before


def test_any_arrow_reader_opens_the_file(tmp_path: Path) -> None:
    partials.save(tmp_path / "0.arrow", some(1))
    table = pa.ipc.open_file(str(tmp_path / "0.arrow")).read_all()
    assert table.column_names == ["key", "count", "sum"]
    assert table.num_rows == 15
