"""One-shot NAS (Guo and others, ECCV 2020: single path, one architecture a step): one supernet
estimates all networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from archsmith.methods import estimated
from archsmith.methods.few_shot import DISTILL, SAMPLING, FewShot, grown
from archsmith.methods.job import Job
from archsmith.methods.protocol import SharedWeights, setting
from archsmith.run.records import Searched
from archsmith.space import Architecture


@dataclass(frozen=True)
class OneShot:
    """Few-shot NAS without a split."""

    sampling: str = setting("uniform", SAMPLING)
    distill: bool = setting(False, DISTILL)

    def __post_init__(self) -> None:
        self._tree()

    def _tree(self) -> FewShot:
        return FewShot(splits=0, sampling=self.sampling, distill=self.distill)

    def train(self, job: Job) -> SharedWeights:
        """The supernet, and how far its estimates can be trusted."""
        root = grown(job, self._tree())[0]
        return SharedWeights(root, lambda: estimated.train(job, root))

    def search(self, job: Job, trained: SharedWeights) -> Searched:
        """Guided search on the estimates."""
        return estimated.search(job, trained.weights)

    def start(self, job: Job, trained: SharedWeights, arch: Architecture) -> nn.Module:
        """The network with the weights it shared."""
        return estimated.network(job, trained.weights, arch)
