"""A network that is trained already, made smaller: its channels sorted, all its narrower and
shallower versions trained together, the best within the budget fine-tuned, taught by it.

The pieces are those of Once-For-All (Cai and others, ICLR 2020, section 3: sorted channels, weights
that are shared, networks taken from them as they are) and of slimmable networks (Yu and Huang, ICCV
2019: the largest and the smallest network in each step, the largest teaches the others), on any
network that `elastic` can convert. While the best are fine-tuned the network as it came teaches
them (Hinton, Vinyals and Dean, 2015). Deviations: no phases; the limits are hard, and networks that
break them are trained only as the ends of the sandwich.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from archsmith.elastic.sorting import IMPORTANCES, sort_channels
from archsmith.errors import UserError, did_you_mean
from archsmith.methods import estimated
from archsmith.methods.few_shot import FewShot, grown
from archsmith.methods.job import Job, Sharing
from archsmith.methods.listing import entry, shortlist
from archsmith.methods.protocol import (
    FinishPlan,
    SharedWeights,
    Shares,
    TooLittleTime,
    setting,
)
from archsmith.methods.scored import passes_of
from archsmith.run.records import Searched
from archsmith.space import Architecture

# Training all versions takes half of the time. With fewer passes than that after it, a version made
# by hand that is fine-tuned for all of the time was better where it was tried (result
# shrink-by-hand).
_LEAST_PASSES = 100.0
_PASSES = "passes left to fine-tune, at least; with fewer, versions made by hand are fine-tuned"
_IMPORTANCE = f"by what channels are sorted: {', '.join(IMPORTANCES)}"


@dataclass(frozen=True)
class Shrink:
    """The network whose weights are given (`--init`), within the budget."""

    importance: str = setting("l1", _IMPORTANCE)
    rate: float = setting(0.5, "of the learning rate, to fine-tune the network that was found")
    distill: bool = setting(True, "the network that was begun with teaches what is fine-tuned")
    least_passes: float = setting(_LEAST_PASSES, _PASSES)
    shares: ClassVar[Shares] = Shares(scoring=True, sharing=True, kept=True)
    checked: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.importance not in IMPORTANCES:
            raise UserError(
                f"importance={self.importance}{did_you_mean(self.importance, IMPORTANCES)}: there "
                f"are {', '.join(IMPORTANCES)}"
            )
        if not self.least_passes >= 0:
            raise UserError(
                f"least_passes={self.least_passes}: passes over the images, 0 (all versions are "
                "always trained) or more"
            )
        self.finish(FinishPlan())

    def train(self, job: Job) -> SharedWeights:
        """All versions of the network, together; the largest of each step teaches the others."""
        made = job.space.by_hand(())
        if made and (seen := passes_of(job, made[0])) < self.least_passes:
            raise TooLittleTime(
                "the time is too short to train all versions of the network together: fine-tuning "
                f"would see each image {seen:.0f} times after that, fewer than "
                f"{self.least_passes:.0f}"
            )
        assert job.data.sharing is not None
        sharing = job.data.sharing()
        root = grown(_sorted(job, sharing, self.importance), _TREE)[0]
        return SharedWeights(root, lambda: estimated.train(job, root, checked=False))

    def search(self, job: Job, trained: SharedWeights | None = None) -> Searched:
        """Guided search on what the versions can do, as they are; without shared weights, versions
        made by hand: beside a reference one that is another, the second of these where there are
        more (of a network of one's own the shallower one, most unlike it)."""
        if trained is not None:
            return estimated.search(job, trained.weights)
        made = job.space.by_hand(())
        if job.clock.referenced:
            others = [arch for arch in made if arch != job.space.reference]
            made = (others or made)[:2][-1:]
        made = made[: max(1, job.clock.finalists)]
        return shortlist("by hand", [entry(arch, "thinned") for arch in made])

    def start(
        self, job: Job, trained: SharedWeights | None, arch: Architecture
    ) -> nn.Module | None:
        """The version as it was trained among the others."""
        return None if trained is None else estimated.network(job, trained.weights, arch)

    def finish(self, default: FinishPlan) -> FinishPlan:
        """Fine-tuned, taught by the network that was begun with."""
        return replace(default, how="fine-tune", rate=self.rate, distill=self.distill)


_TREE = FewShot(splits=0, sampling="sandwich", distill=True)


def _sorted(job: Job, sharing: Sharing, importance: Any) -> Job:
    """The same job, in which the network's channels stand in the order of their importance."""

    def make(parts: int | None) -> nn.Module:
        model = sharing.make(parts)
        if importance != "l1":  # that order it has already
            sort_channels(model, importance, batches=job.data.batches, loss=job.data.loss)
        return model

    ordered = replace(sharing, make=make)
    return replace(job, data=replace(job.data, sharing=lambda: ordered))
