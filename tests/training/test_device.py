"""Threads and devices: what is set, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from archsmith.errors import UserError
from archsmith.training import pick_device, set_threads
from archsmith.training.device import bf16_pays, physical_cores


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_threads_are_set_and_returned(threads: int) -> None:
    assert set_threads(1) == 1 == torch.get_num_threads()
    assert set_threads(None) == physical_cores() == torch.get_num_threads()


@pytest.mark.parametrize("bad", [0, -2, True, 1.5, "two"])
def test_bad_thread_counts(bad: object, threads: int) -> None:
    with pytest.raises(UserError, match="threads="):
        set_threads(bad)  # type: ignore[arg-type]
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only glibc can be told to keep freed memory"
)
def test_freed_memory_is_kept_and_given_back_when_asked() -> None:
    script = """
import psutil, torch
from archsmith._internal.hardware import return_memory
from archsmith.training import set_threads
set_threads(1)
used = psutil.Process().memory_info
before = used().rss
some = [torch.ones(2**20) for _ in range(64)]
del some
print((used().rss - before) >> 20)
assert return_memory()
print((used().rss - before) >> 20)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    kept, returned = map(int, done.stdout.split())
    assert kept > 200 and returned < 30  # of 256 MiB


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    assert not bf16_pays(torch.device("cpu"))
    with pytest.raises(UserError, match="did you mean 'cuda'"):
        pick_device("cuba")
    with pytest.raises(UserError, match="is not one of"):
        pick_device("cuda:x")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="sees 0 CUDA"):
            pick_device("cuda")


@pytest.mark.parametrize(
    "name", ["cpu:7", "cpu:", "cuda:", "cuda:x", "cuda:²", "cuda:-1", "mps:3", "", "cpu\n"]
)
def test_a_device_that_cannot_be_meant_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="device"):
        pick_device(name)


@pytest.mark.parametrize("count", [0, -1, 1025, 100_000, True])
def test_a_number_of_threads_that_cannot_be_meant_is_refused(count: int) -> None:
    with pytest.raises(UserError, match="from 1 to 1024"):
        set_threads(count)
