"""The table of predictors, and how sure one is that does not say."""

from __future__ import annotations

import numpy as np
import pytest

from archsmith.errors import UserError
from archsmith.predictors.forest import Forest
from archsmith.predictors.predictor import PREDICTORS, mean_and_std, predictor


def test_every_name_makes_one():
    for name in PREDICTORS:
        made = predictor(name, 3)
        assert made.seed == 3 and callable(made.fit) and callable(made.predict)
    assert predictor("forest", 1, trees=7).trees == 7
    with pytest.raises(
        UserError, match="no predictor 'forrest'; there are gp, .*; did you mean 'forest'"
    ):
        predictor("forrest")


def test_one_without_uncertainty_is_taken_as_sure():
    class Plain:
        def fit(self, X, y):
            return self

        def predict(self, X):
            return X[:, 0]

    rows = np.arange(6.0).reshape(3, 2)
    mean, std = mean_and_std(Plain(), rows)
    assert mean.tolist() == [0, 2, 4] and std.tolist() == [0, 0, 0]
    mean, std = mean_and_std(Forest(0, trees=5).fit(rows, [1.0, 2.0, 9.0]), rows)
    assert (
        mean == Forest(0, trees=5).fit(rows, [1.0, 2.0, 9.0]).predict(rows)
    ).all() and std.max() > 0
