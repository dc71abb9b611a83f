"""What every predictor keeps: decided by its seed, better than the mean, sure where it may be,
unharmed by odd examples."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from random import Random

import numpy as np
import pytest
from toys import staged

from archsmith.errors import UserError
from archsmith.predictors.boosting import Boosting
from archsmith.predictors.encoding import one_hot
from archsmith.predictors.forest import Forest
from archsmith.predictors.gp import GaussianProcess
from archsmith.predictors.mlp import MlpEnsemble
from archsmith.predictors.predictor import PREDICTORS
from archsmith.predictors.ranking import kendall

MAKERS = {
    "gp": GaussianProcess,
    "forest": partial(Forest, trees=20),
    "boosting": partial(Boosting, trees=60, rate=0.1),
    "mlp": partial(MlpEnsemble, members=3, layers=(16,), iterations=60),
}
SPACE = staged(2, 3)


def quality(arch):
    depths = arch["s0.depth"], arch["s1.depth"]
    kernels = sum(option != 5 for name, option in arch.items() if name.endswith("kernel"))
    return float(3 * sum(depths) - (depths[0] - depths[1]) ** 2 - kernels)


def drawn(count, seed):
    rng = Random(seed)
    archs = [SPACE.sample(rng) for _ in range(count)]
    return one_hot(SPACE, archs), np.array([quality(arch) for arch in archs])


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_the_table_names_them_all():
    assert set(MAKERS) == set(PREDICTORS)


def test_it_ranks_what_it_has_not_seen(make):
    X, y = drawn(80, 0)
    new, truth = drawn(200, 1)
    model = make(0)
    assert model.fit(X, y) is model
    found = model.predict(new)
    assert found.shape == (200,) and kendall(found, truth) > 0.6
    assert np.abs(found - truth).mean() < 0.6 * np.abs(truth - y.mean()).mean()


def test_the_seed_decides_and_nothing_else_does(make):
    X, y = drawn(40, 0)
    kept = X.copy(), y.copy()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the legacy global state is what must not move
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = make(5).fit(X, y).predict(X)
    assert random.getstate() == before[0] and np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert (make(5).fit(X, y).predict(X) == first).all()
    assert (kept[0] == X).all() and (y == kept[1]).all()


def test_fitting_again_forgets(make):
    X, y = drawn(40, 0)
    other = drawn(40, 7)
    model = make(0).fit(*other)
    model.fit(X, y)
    assert (model.predict(X) == make(0).fit(X, y).predict(X)).all()


def test_it_is_surer_of_what_it_has_seen(make):
    X, y = drawn(60, 0)
    model = make(0).fit(X, y)
    if not model.uncertain:
        pytest.skip("it does not know its uncertainty")
    mean, std = model.predict(X, return_std=True)
    _, far = model.predict(1 - X, return_std=True)  # rows like no architecture
    assert mean == pytest.approx(model.predict(X)) and std.shape == mean.shape
    assert (std >= 0).all() and far.mean() > std.mean()


def test_units_carry_over(make):
    X, y = drawn(60, 0)
    plain, scaled = make(0).fit(X, y).predict(X), make(0).fit(X, 1e4 * y + 1e6).predict(X)
    assert scaled == pytest.approx(1e4 * plain + 1e6, abs=1e4)
    assert abs(scaled.mean() - (1e4 * y + 1e6).mean()) < 5e3


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_and_constant_examples_are_no_trouble(make, count):
    X, y = drawn(count, 3)
    assert np.isfinite(make(0).fit(X, y).predict(X)).all()
    model = make(0).fit(X, np.full(count, 2.5))
    assert model.predict(X) == pytest.approx(np.full(count, 2.5), abs=0.01)
    if model.uncertain:
        assert np.isfinite(model.predict(X, return_std=True)[1]).all()
    assert np.isfinite(make(0).fit(X.tolist(), y.tolist()).predict(X.tolist())).all()


def test_what_cannot_be_learned_from_is_refused(make):
    X, y = drawn(4, 0)
    for rows, values in ((X, y[:3]), (X[:0], y[:0]), (X, [1, 2, np.nan, 4])):
        with pytest.raises(UserError):
            make(0).fit(rows, values)


def test_none_of_them_imports_torch():
    code = (
        "import sys; sys.path[:0] = ['src', 'tests', 'tests/contracts']\n"
        "from test_predictors import MAKERS, drawn\n"
        "for make in MAKERS.values():\n"
        "    make(0).fit(*drawn(20, 0)).predict(drawn(5, 1)[0])\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "5"}
    )
