"""Gradient-boosted trees over encoded architectures."""

from __future__ import annotations

from typing import Any

import numpy as np

from archsmith.errors import UserError, did_you_mean
from archsmith.predictors.encoding import examples

_LIBRARIES = ("scikit-learn", "lightgbm")


class Boosting:
    """Friedman (2001, 2002): trees of `depth` fitted one after another to what is left, each on a
    random half of the examples.

    `library`: "scikit-learn", or "lightgbm" (Ke et al. 2017) for thousands of examples. It does not
    know its uncertainty.
    """

    uncertain = False

    def __init__(
        self,
        seed: int = 0,
        trees: int = 200,
        rate: float = 0.05,
        depth: int = 3,
        library: str = "scikit-learn",
    ) -> None:
        if library not in _LIBRARIES:
            raise UserError(
                f"library='{library}'; give one of "
                f"{', '.join(_LIBRARIES)}{did_you_mean(library, _LIBRARIES)}"
            )
        self.seed, self.trees, self.rate, self.depth, self.library = (
            seed,
            trees,
            rate,
            depth,
            library,
        )

    def fit(self, X: Any, y: Any) -> Boosting:
        """Learns."""
        rows, values = examples(X, y)
        share = 0.5 if len(rows) > 1 else 1.0  # half of one would be none
        self._model = (
            self._lightgbm(share) if self.library == "lightgbm" else self._sklearn(share)
        ).fit(rows, values)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The values."""
        return np.asarray(self._model.predict(np.asarray(X, dtype=float)))

    def _sklearn(self, share: float) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        return GradientBoostingRegressor(
            n_estimators=self.trees,
            learning_rate=self.rate,
            max_depth=self.depth,
            subsample=share,
            random_state=self.seed,
        )

    def _lightgbm(self, share: float) -> Any:
        try:
            from lightgbm import LGBMRegressor
        except ImportError as error:
            raise UserError(
                "library='lightgbm' needs LightGBM, which is not installed; run `pip install "
                '"archsmith[boosting]"`, '
                "or take library='scikit-learn'"
            ) from error
        return LGBMRegressor(
            n_estimators=self.trees,
            learning_rate=self.rate,
            num_leaves=2**self.depth,
            max_depth=self.depth,
            min_child_samples=5,
            subsample=share,
            subsample_freq=1,
            random_state=self.seed,
            n_jobs=1,
            deterministic=True,
            verbose=-1,
        )
