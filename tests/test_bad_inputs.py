"""Bad command lines and files: each ends with its exit code and one message; all are in
benchmarks/robustness/bad_inputs.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "robustness" / "bad_inputs.py"
# what begins to read images, or imports most
_SLOW = ("bench supernets", "images", "data", "search --group")


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bad_inputs", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bad_inputs"] = module
    spec.loader.exec_module(module)
    return module


bad_inputs = _loaded()
LINES = [case for case in bad_inputs.lines() if not case.name.startswith(_SLOW)]


def test_there_are_hundreds() -> None:
    assert len(bad_inputs.lines()) > 300


def _kinds() -> list[str]:
    return sorted({case.name.split()[0] for case in LINES})


@pytest.mark.parametrize("kind", _kinds())
def test_a_bad_command_line_is_answered_in_one_line(kind: str) -> None:
    cases = [case for case in LINES if case.name.split()[0] == kind and case.code]
    if kind in ("search", "score", "bench", "profile"):
        cases = cases[::6]
    faults = [(o.case.name, o.fault, o.text) for o in map(bad_inputs.tried, cases) if o.fault]
    assert not faults


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return list(bad_inputs.files(tmp_path_factory.mktemp("files")))


@pytest.mark.parametrize("kind", ["architecture", "loss", "space", "teacher", "weights"])
def test_a_bad_file_is_answered_in_one_line(kind: str, files: list[Any]) -> None:
    cases = [case for case in files if case.name.startswith(kind)]
    assert len(cases) > 10
    faults: list[Any] = [
        (o.case.name, o.fault, o.text) for o in map(bad_inputs.tried, cases) if o.fault
    ]
    assert not faults
