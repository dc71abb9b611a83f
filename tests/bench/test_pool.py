"""A pool's results; a failure does not leave the others waiting, a killed parent no workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archsmith.bench.pool import processes, results


def test_every_future_comes_with_its_result() -> None:
    with ThreadPoolExecutor(2) as pool:
        futures = {pool.submit(pow, n, 2): n for n in range(5)}
        assert {futures[future]: value for future, value in results(pool, futures)} == {
            n: n * n for n in range(5)
        }


def test_after_a_failure_what_has_not_begun_is_dropped() -> None:
    begun, go_on = [], threading.Event()

    def wait(n: int) -> None:
        begun.append(n)
        go_on.wait(10)

    def fail() -> None:
        raise ValueError("it broke")

    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(wait, 0),
            pool.submit(fail),
            pool.submit(wait, 1),
            *(pool.submit(wait, n) for n in range(2, 20)),
        ]
        with pytest.raises(ValueError, match="it broke"):
            list(results(pool, futures))
        go_on.set()
    assert len(begun) < 20 and sum(future.cancelled() for future in futures) > 0


def test_where_python_has_no_process_that_tidies_up_none_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("archsmith.bench.pool.WINDOWS", True)
    monkeypatch.setattr(
        "multiprocessing.resource_tracker.ensure_running", lambda: pytest.fail("started")
    )
    processes(1).shutdown()


PARENT = """
import os, sys, time
from archsmith.bench.pool import processes


def work(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(0.05)


if __name__ == "__main__":
    with processes(1) as pool:
        pool.submit(work, sys.argv[1]).result()
"""


def test_a_killed_parent_leaves_no_worker(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    told = tmp_path / "worker"
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(told)])
    until(lambda: told.exists() and told.read_text() != "")
    worker = int(told.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not alive(worker))


def until(true: object, tries: int = 1200) -> None:
    """Waits for it, a minute at most."""
    for _ in range(tries):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def alive(process: int) -> bool:
    """Not a zombie either, where that can be told."""
    try:
        os.kill(process, 0)
        return (
            not Path("/proc").exists()
            or Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except (ProcessLookupError, FileNotFoundError):
        return False
