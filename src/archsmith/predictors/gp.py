"""A Gaussian process over encoded architectures."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from archsmith.predictors.encoding import examples


class GaussianProcess:
    """Matern 5/2 plus noise (Rasmussen and Williams 2006, chapter 2), its three settings by
    marginal likelihood.

    On one-hot rows the distance is the square root of twice the number of decisions that differ.
    Time grows with the cube of the number of examples: for up to a few thousand.
    """

    uncertain = True

    def __init__(self, seed: int = 0, noise: float = 0.01) -> None:
        self.seed, self.noise = seed, noise

    def fit(self, X: Any, y: Any) -> GaussianProcess:
        """Learns."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        rows, values = examples(X, y)
        signal = ConstantKernel(1.0, (0.01, 100.0)) * Matern(
            np.sqrt(max(1, rows.shape[1])), (0.3, 100.0), nu=2.5
        )
        kernel = signal + WhiteKernel(self.noise, (1e-6, 1.0))
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=self.seed)
        with warnings.catch_warnings():  # a setting at its bound is an answer too
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(rows, values)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean; with `return_std` also the standard deviation of a new measurement, noise
        included."""
        return self._model.predict(np.asarray(X, dtype=float), return_std=return_std)
