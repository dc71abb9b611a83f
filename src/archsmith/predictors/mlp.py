"""An ensemble of small neural networks over encoded architectures."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from archsmith.predictors.encoding import examples


class MlpEnsemble:
    """Lakshminarayanan et al. (2017), as BANANAS (White et al. 2021) uses it: networks that differ
    in their initial weights.

    The spread over `members` is the uncertainty. Rectified units in `layers`, values standardized,
    squared error with weight decay, by L-BFGS, which on hundreds of examples is done sooner than
    stochastic steps.
    """

    uncertain = True

    def __init__(
        self,
        seed: int = 0,
        members: int = 5,
        layers: tuple[int, ...] = (32, 32),
        decay: float = 0.01,
        iterations: int = 200,
    ) -> None:
        self.seed, self.members, self.layers, self.decay, self.iterations = (
            seed,
            members,
            tuple(layers),
            decay,
            iterations,
        )

    def fit(self, X: Any, y: Any) -> MlpEnsemble:
        """Learns."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        rows, values = examples(X, y)
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        seeds = np.random.default_rng(self.seed).integers(2**32, size=self.members)
        self._models = []
        with warnings.catch_warnings():  # to stop early is meant: it keeps the members apart
            warnings.simplefilter("ignore", ConvergenceWarning)
            for seed in seeds:
                network = MLPRegressor(
                    hidden_layer_sizes=self.layers,
                    solver="lbfgs",
                    alpha=self.decay,
                    max_iter=self.iterations,
                    random_state=int(seed),
                )
                self._models.append(network.fit(rows, (values - self._mean) / self._scale))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean over the members; with `return_std` also their standard deviation."""
        rows = np.asarray(X, dtype=float)
        each = np.array([model.predict(rows) for model in self._models]) * self._scale + self._mean
        return (each.mean(axis=0), each.std(axis=0)) if return_std else each.mean(axis=0)
