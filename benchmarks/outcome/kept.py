"""Rows of a benchmark, each in a file of its own, made once; and a run of the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ENDED = (0, 3)  # exit codes of a run that ended: with a network, with one that is no result


def kept(path: Path, make: Callable[[], Row]) -> Row:
    """The row in a file, made where there is none; one that has an "error" is told and not kept."""
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    row = make()
    print(json.dumps(row), file=sys.stderr, flush=True)
    if "error" not in row:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps(row), encoding="utf-8")
        partial.rename(path)
    return row


def ran(words: Sequence[str], folder: Path) -> Row:
    """`archsmith WORDS --out FOLDER --json` in a process of its own: "wall" seconds and "rc", and
    an "error" where it did not end well. What an earlier one left in the folder is removed: a run
    that was stopped has lost time that no other has."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    row, _ = answered([*words, "--out", str(folder)])
    return row


def answered(words: Sequence[str]) -> tuple[Row, Row]:
    """`archsmith WORDS --json`: "wall", "rc" and perhaps "error"; and the object that it prints."""
    began = time.monotonic()
    command = [sys.executable, "-m", "archsmith", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)  # the environment is this one's
    row: Row = {"wall": round(time.monotonic() - began, 1), "rc": done.returncode}
    if done.returncode not in ENDED:
        return {**row, "command": " ".join(command), "error": done.stderr[-2000:]}, {}
    return row, json.loads(done.stdout)
