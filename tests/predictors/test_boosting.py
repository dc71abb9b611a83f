"""Boosting: its two libraries."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from archsmith.errors import UserError
from archsmith.predictors.boosting import Boosting

X = np.random.default_rng(0).integers(0, 2, (60, 8)).astype(float)
Y = X @ np.arange(8) + 3 * X[:, 0] * X[:, 1]


def test_a_missing_lightgbm_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UserError, match="needs LightGBM"):
        Boosting(library="lightgbm").fit(X, Y)


def test_an_unknown_library_is_refused():
    with pytest.raises(UserError, match="library='lightgmb'.*did you mean 'lightgbm'"):
        Boosting(library="lightgmb")


def test_lightgbm_learns():
    found = Boosting(library="lightgbm").fit(X, Y).predict(X)
    assert np.corrcoef(found, Y)[0, 1] > 0.9
    assert (found == Boosting(library="lightgbm").fit(X, Y).predict(X)).all()
