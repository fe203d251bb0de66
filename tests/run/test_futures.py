from __future__ import annotations

import time
from pathlib import Path

import pytest
from distributed import Client

from eoscale.errors import CorruptGranuleError
from eoscale.run.futures import TASKS_PER_THREAD, windowed


def double(number: int) -> int:
    return 2 * number


def begun(place: tuple[str, int]) -> int:
    """Leave a mark, so that the test sees which tasks were handed out."""
    folder, number = place
    (Path(folder) / str(number)).touch()
    time.sleep(0.01)
    return number


def fail(number: int) -> int:
    if number == 3:
        raise CorruptGranuleError("damaged", granule="g3", url="https://host/g3.h5?token=secret")
    return number


def test_every_item_comes_back_with_its_result(scheduler: str) -> None:
    with Client(scheduler) as client:
        assert sorted(windowed(client, double, range(50))) == [(n, 2 * n) for n in range(50)]
        assert list(windowed(client, double, [])) == []


def test_no_more_tasks_are_handed_out_than_the_window_holds(scheduler: str, tmp_path: Path) -> None:
    with Client(scheduler) as client:
        window = TASKS_PER_THREAD * sum(client.nthreads().values())
        items = [(str(tmp_path), number) for number in range(60)]
        for taken, _ in enumerate(windowed(client, begun, items), start=1):
            time.sleep(0.02)  # the client is slower than the workers
            assert len(list(tmp_path.iterdir())) <= taken + window
    assert len(list(tmp_path.iterdir())) == 60


def test_an_error_keeps_its_type_granule_and_scrubbed_url_and_cancels_the_rest(scheduler: str) -> None:
    with Client(scheduler) as client:
        with pytest.raises(CorruptGranuleError, match=r"g3 at https://host/g3.h5: damaged") as caught:
            list(windowed(client, fail, range(1000)))
        assert caught.value.granule == "g3"
        assert "secret" not in str(caught.value)
