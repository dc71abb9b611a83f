"""Predictor-guided search: parents, mutants, what the predictor is taught and asked."""

from __future__ import annotations

import numpy as np
import pytest
from toys import flat

from archsmith.errors import UserError
from archsmith.predictors.encoding import one_hot
from archsmith.problem import Problem, maximize, rank
from archsmith.searchers.predictor_guided import predictor_guided

SPACE = flat(6, 4)


def total(arch):
    return float(sum(arch.values()))


def problem(metric=total):
    return Problem(SPACE, [maximize(metric, "total")])


class Knowing:
    """Predicts the loss exactly, and keeps what it was given."""

    taught: list

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y):
        Knowing.taught.append((X, y))
        return self

    def predict(self, X):
        return -(X.reshape(len(X), 6, 4) @ np.arange(4)).sum(axis=1)


def test_the_best_of_the_mutants_of_the_best_are_measured():
    Knowing.taught = []
    searcher = predictor_guided(
        problem(), 0, initial=12, batch=3, parents=2, mutants=30, model=Knowing, acquisition="mean"
    )
    trials = problem().evaluate(searcher.ask())
    assert len(trials) == 12
    for round in range(4):
        searcher.tell(trials[-3:] if round else trials)
        parents = [t.arch for t in sorted(trials, key=rank)[:2]]
        batch = problem().evaluate(searcher.ask())
        for trial in batch:
            assert min(sum(trial.arch[n] != parent[n] for n in SPACE) for parent in parents) == 1
        known = {t.arch for t in trials}
        around = [n for parent in parents for n in SPACE.neighbors(parent) if n not in known]
        assert [t.losses[0] for t in batch] == sorted(t.losses[0] for t in batch)
        assert max(total(t.arch) for t in batch) >= np.quantile([total(n) for n in around], 0.9)
        rows, values = Knowing.taught[-1]
        assert (rows == one_hot(SPACE, [t.arch for t in trials])).all()
        assert values.tolist() == [t.losses[0] for t in trials]
        trials += batch


def test_failed_trials_teach_as_the_worst():
    def moody(arch):
        if arch["d0"] == 3:
            raise RuntimeError("no")
        return total(arch)

    Knowing.taught = []
    moods = problem(moody)
    searcher = predictor_guided(moods, 1, initial=20, model=Knowing)
    trials = moods.evaluate(searcher.ask())
    searcher.tell(trials)
    searcher.ask()
    values = Knowing.taught[-1][1]
    worst = max(t.losses[0] for t in trials if t.losses)
    assert any(t.failed for t in trials)
    assert all(
        value == (worst if t.failed else t.losses[0])
        for value, t in zip(values, trials, strict=True)
    )


@pytest.mark.parametrize("model", ["gp", "forest", "boosting"])
@pytest.mark.parametrize("acquisition", ["thompson", "improvement"])
def test_every_predictor_serves_with_every_acquisition(model, acquisition):
    searcher = predictor_guided(problem(), 0, batch=4, model=model, acquisition=acquisition)
    for _ in range(2):
        searcher.tell(problem().evaluate(searcher.ask()))
    assert {c.origin for c in searcher.ask()} == {"model"} and len(searcher.ask()) == 4


def test_unknown_names_are_refused():
    for settings in ({"model": "forrest"}, {"acquisition": "expected"}):
        searcher = predictor_guided(problem(), 0, **settings)
        with pytest.raises(UserError, match="no (predictor|acquisition) '.*'; there are"):
            searcher.tell(problem().evaluate(searcher.ask()))
            searcher.ask()
