"""A pool's results, and that a failure does not leave the others waiting."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from archsmith.bench.pool import results


def test_every_future_comes_with_its_result() -> None:
    with ThreadPoolExecutor(2) as pool:
        futures = {pool.submit(pow, n, 2): n for n in range(5)}
        assert {futures[future]: value for future, value in results(pool, futures)} == {n: n * n for n in range(5)}


def test_after_a_failure_what_has_not_begun_is_dropped() -> None:
    begun, go_on = [], threading.Event()

    def wait(n: int) -> None:
        begun.append(n)
        go_on.wait(10)

    def fail() -> None:
        raise ValueError("it broke")

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(wait, 0), pool.submit(fail), pool.submit(wait, 1), *(pool.submit(wait, n) for n in range(2, 20))]
        with pytest.raises(ValueError, match="it broke"):
            list(results(pool, futures))
        go_on.set()
    assert len(begun) < 20 and sum(future.cancelled() for future in futures) > 0
