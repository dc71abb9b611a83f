"""What every predictor keeps, and the table of those there are."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np

from archsmith.errors import UserError, did_you_mean


class Predictor(Protocol):
    """scikit-learn's contract. One that knows its uncertainty says `uncertain = True` and takes
    `return_std=True`."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learns from rows (n, features) and values (n,)."""
        ...

    def predict(self, X: Any) -> np.ndarray:
        """The values (m,) of rows (m, features)."""
        ...


# name -> (where its class is, what it is); a class takes a seed and then its settings
PREDICTORS: dict[str, tuple[str, str]] = {
    "gp": (
        "gp:GaussianProcess",
        "Gaussian process, Matern 5/2 on the number of decisions that differ",
    ),
    "forest": ("forest:Forest", "random forest, spread over its trees"),
    "boosting": (
        "boosting:Boosting",
        "gradient-boosted trees, scikit-learn's or LightGBM's; no uncertainty",
    ),
    "mlp": ("mlp:MlpEnsemble", "ensemble of small neural networks, spread over its members"),
}


def predictor(name: str, seed: int = 0, **settings: Any) -> Predictor:
    """A new predictor of the table."""
    if name not in PREDICTORS:
        raise UserError(
            f"no predictor '{name}'; there are "
            f"{', '.join(PREDICTORS)}{did_you_mean(name, PREDICTORS)}"
        )
    module, _, attribute = PREDICTORS[name][0].partition(":")
    made: Predictor = getattr(importlib.import_module(f"archsmith.predictors.{module}"), attribute)(
        seed, **settings
    )
    return made


def mean_and_std(predictor: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What it predicts and how sure it is; a standard deviation of 0 where it does not know."""
    if getattr(predictor, "uncertain", False):
        mean, std = predictor.predict(X, return_std=True)
        return mean, std
    mean = predictor.predict(X)
    return mean, np.zeros(len(mean))
