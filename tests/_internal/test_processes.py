"""Processes: who is alive, how one is interrupted, how new ones start, also where a system has no
fork and no signal masks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from archsmith._internal import interrupts, processes


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Whatever started this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_process_is_alive_until_it_has_ended_waited_for_or_not() -> None:
    assert processes.alive(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert processes.alive(child.pid)
        assert child.stdin is not None
        child.stdin.close()
        for _ in range(1200):
            if not processes.alive(child.pid):
                break
            time.sleep(0.05)
        # nobody has waited for it yet
        assert child.returncode is None and not processes.alive(child.pid)
    assert not processes.alive(child.pid)


@pytest.mark.parametrize("number", [2**22 + 1, 2**31, 2**70])
def test_a_number_that_no_process_has_is_none(number: int) -> None:
    assert not processes.alive(number)


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("from_a_thread", [False, True])
def test_an_interrupt_reaches_the_first_thread(
    monkeypatch: pytest.MonkeyPatch, windows: bool, from_a_thread: bool
) -> None:
    monkeypatch.setattr(processes, "WINDOWS", windows)
    if windows:
        monkeypatch.setattr(
            os, "kill", lambda *given: pytest.fail("os.kill ends a process of Windows")
        )
    with pytest.raises(KeyboardInterrupt):
        if from_a_thread:
            threading.Timer(0.05, processes.interrupt_self).start()
        else:
            processes.interrupt_self()
        for _ in range(200):
            time.sleep(0.05)


def test_a_fork_only_where_it_is_asked_for_there_and_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(
        multiprocessing, "get_all_start_methods", lambda: ["fork", "spawn", "forkserver"]
    )
    assert (
        processes.start_method(fork=True) == "fork"
        and processes.start_method(fork=False) == "spawn"
    )
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert processes.start_method(fork=True) == "spawn"
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert processes.start_method(fork=True) == "spawn"


def test_without_masks_nothing_is_held_and_a_worker_makes_itself_deaf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts.deaf()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # `held` does it here
    monkeypatch.delattr(signal, "pthread_sigmask")
    with interrupts.held():
        pass
    interrupts.deaf()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
