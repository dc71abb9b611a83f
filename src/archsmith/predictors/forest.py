"""A random forest over encoded architectures."""

from __future__ import annotations

from typing import Any

import numpy as np

from archsmith.predictors.encoding import examples


class Forest:
    """Breiman (2001). The spread over the trees' predictions is its uncertainty (Hutter et al.
    2011, section 4.1).

    `split`: examples that a node needs to be split; `features`: the share of the features looked at
    per split.
    """

    uncertain = True

    def __init__(
        self, seed: int = 0, trees: int = 100, split: int = 2, features: float = 1.0
    ) -> None:
        self.seed, self.trees, self.split, self.features = seed, trees, split, features

    def fit(self, X: Any, y: Any) -> Forest:
        """Learns."""
        from sklearn.ensemble import RandomForestRegressor

        self._model = RandomForestRegressor(
            self.trees,
            min_samples_split=self.split,
            max_features=self.features,
            random_state=self.seed,
        ).fit(*examples(X, y))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean over the trees; with `return_std` also their standard deviation."""
        # what the trees themselves take, without a check for each of them
        rows = np.ascontiguousarray(X, dtype=np.float32)
        each = np.array([tree.tree_.predict(rows).ravel() for tree in self._model.estimators_])
        return (each.mean(axis=0), each.std(axis=0)) if return_std else each.mean(axis=0)
