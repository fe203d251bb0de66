from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eoscale
from eoscale.access import loop

PROCESSES, AT_ONCE = 52, 4
ALONE = f"""
import sys, types
# the package without its __init__, which imports all that users name: this is about the I/O thread alone
package = types.ModuleType("eoscale")
package.__path__ = {eoscale.__path__!r}
sys.modules["eoscale"] = package
"""


def script(text: str, *arguments: str, compiled: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh process; many of them may keep what they compile in one folder."""
    cache = {"PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""} if compiled else {}
    return subprocess.run(  # noqa: S603  its own text
        [sys.executable, "-c", ALONE + dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **cache},
    )


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.binary())))
def test_the_result_of_a_coroutine_is_returned(value: object) -> None:
    assert loop.run(asyncio.sleep(0, result=value)) is value


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("k"), OSError(2, "gone")])
def test_an_exception_of_a_coroutine_is_raised_as_it_is(error: Exception) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        loop.run(fail())
    assert raised.value is error


def test_all_tasks_of_a_process_share_one_thread() -> None:
    async def here() -> threading.Thread:
        await asyncio.sleep(0.001)
        return threading.current_thread()

    with ThreadPoolExecutor(8) as pool:
        threads = set(pool.map(lambda _: loop.run(here()), range(32)))
    assert len(threads) == 1
    (thread,) = threads
    assert thread.daemon
    assert thread is not threading.current_thread()


def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        loop.run(wait(), timeout=0.02)
    assert cancelled.wait(5)
    assert time.perf_counter() - began < 5
    assert loop.run(asyncio.sleep(0, result="goes on")) == "goes on"


def test_waiting_on_the_io_thread_itself_is_refused() -> None:
    async def wait_for_itself() -> str:
        return loop.run(asyncio.sleep(0, result="never"))

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        loop.run(wait_for_itself(), timeout=5)


def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    ended = script(
        """
        import asyncio, os, warnings
        from eoscale.access import loop
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from Python 3.12 on
        assert loop.run(asyncio.sleep(0, result=1)) == 1
        child = os.fork()
        assert loop.run(asyncio.sleep(0, result=2), timeout=10) == 2
        if child:
            _, status = os.waitpid(child, 0)
            assert status == 0, status
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_process_ends_while_something_still_waits() -> None:
    ended = script(
        """
        import asyncio, threading
        from eoscale.access import loop
        def wait():
            try:
                loop.run(asyncio.sleep(3600))
            except BaseException:
                pass
        threading.Thread(target=wait, daemon=True).start()
        loop.run(asyncio.sleep(0.05))
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_processes_that_read_and_close_nothing_all_exit_cleanly(tmp_path: Path) -> None:
    file = tmp_path / "granule.bin"
    file.write_bytes(bytes(range(256)) * 4096)
    text = """
        import os, warnings
        import numpy as np
        from eoscale.access import loop, ranges
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from Python 3.12 on
        url, children = sys.argv[1], []
        for _ in range(int(sys.argv[2])):
            children.append(os.fork())  # importing takes longest; a child reads and ends as any process does
            if not children[-1]:
                break
        head = loop.run(ranges.head(url))
        offsets = np.arange(0, head.size, 65536)
        pieces = {}
        sizes = np.full(offsets.size, 512)
        cost = loop.run(ranges.deliver(url, head.etag, offsets, sizes, pieces.update))
        assert cost.requests == offsets.size == 16 == len(pieces)
        assert all(len(piece) == 512 for piece in pieces.values())
        if all(children):
            ended = [os.waitpid(child, 0)[1] for child in children]
            print(len(ended) + 1, *{status for status in ended if status})
        """
    forks = str(PROCESSES // AT_ONCE - 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(lambda _: script(text, str(file), forks, compiled=tmp_path), range(AT_ONCE)))
    assert [one.returncode for one in ended] == [0] * AT_ONCE
    assert [one.stdout for one in ended] == [f"{PROCESSES // AT_ONCE}\n"] * AT_ONCE
    assert {one.stderr for one in ended} == {""}
