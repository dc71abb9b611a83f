"""Other budgets' networks from what a run has learnt: said where it has learnt nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from made_runs import payloads

from archsmith.errors import UserError
from archsmith.run.records import Untrained
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.answers import generated


def test_a_run_without_shared_weights_says_why_there_are_none(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", request_from(data="digits", method="ddpnas", steps=9))
    left = payloads("digits", ["a1", "b2", "c3", "d4"], Random(7))
    with run.locked():
        run.finish_stage("look", left["look"])
        run.finish_stage("screen", left["screen"])
        run.finish_stage("train", Untrained(skipped=True, why="3 s are 2 steps"))
    with pytest.raises(UserError, match=r"no weights .*\(3 s are 2 steps\).* give --time"):
        generated(run, ["params<=1k"])
