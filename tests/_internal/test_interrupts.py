"""Ctrl-C, sent to real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsmith._internal import interrupts


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """In this process too, whatever started it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _stopped(
    folder: Path, words: tuple[str, ...], wait: float, *, times: int = 1
) -> tuple[int, str]:
    command = [sys.executable, "-m", "archsmith", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=_listening,
    ) as process:
        try:
            time.sleep(wait)
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(0.4)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, err


def _listening() -> None:
    """A shell starts what it puts into the background with interrupts ignored, tests too; nobody
    has asked for that here."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("words", "wait"),
    [
        (("score", "--sample", "100000"), 0.3),  # imports
        ((*"score --sample 100000 --threads 1".split(),), 4.0),
        ((*"profile --latency --threads 1".split(),), 1.5),
        ((*"search digits --threads 1".split(),), 0.8),
        ((*"bench proxies --benchmark toy --sample 0 --workers 1".split(),), 3.0),
    ],
)
def test_ctrl_c_is_one_line_and_130_at_any_moment(
    tmp_path: Path, words: tuple[str, ...], wait: float
) -> None:
    code, err = _stopped(tmp_path, words, wait)
    assert code == 130
    assert err.count("stopped") == 1 and "Traceback" not in err and "error" not in err


def test_the_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import time\ndef Net(classes):\n    while True:\n        try:\n            time.sleep(9)\n"
        "        except KeyboardInterrupt:\n            pass\n"
    )
    code, err = _stopped(tmp_path, ("profile", "--space", "stubborn.py:Net"), 5.0, times=2)
    assert code == 130 and err == "stopped\n"


def test_an_interrupt_that_is_swallowed_still_ends_the_command(tmp_path: Path) -> None:
    swallowing = "try:\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    pass\n"
    (tmp_path / "deaf.py").write_text(f"import time\n{swallowing}Net = 3\n")
    code, err = _stopped(tmp_path, ("profile", "--space", "deaf.py:Net"), 6.0)
    assert code == 130 and err == "stopped\n"


def test_one_lost_in_a_destructor_is_raised_again() -> None:
    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        closing = Closing()
        del closing
        time.sleep(0.5)


def test_the_handler_that_was_there_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.handled() as stop:
        assert stop is not None and signal.getsignal(signal.SIGINT) is stop and not stop.asked
    assert signal.getsignal(signal.SIGINT) is before
