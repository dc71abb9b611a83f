"""ZiCo (Li, Yang, Bhardwaj, Marculescu; ICLR 2023): rank networks by gradient statistics, search
for the best at each depth."""

from __future__ import annotations

from dataclasses import dataclass

from archsmith.methods import scored
from archsmith.methods.job import Job
from archsmith.methods.protocol import SharedWeights
from archsmith.metrics.proxies.zico import ZiCo as Metric
from archsmith.run.records import Screened, Searched


@dataclass(frozen=True)
class ZiCo:
    """Random networks scored, evolution on the score."""

    def screen(self, job: Job) -> Screened:
        """Scores random networks."""
        return scored.screen(job, _score(job))

    def search(self, job: Job, trained: SharedWeights | None = None) -> Searched:
        """Evolution on the score."""
        return scored.search(job, _score(job))


def _score(job: Job) -> scored.Score:
    """Without shortcuts where the space says so, as in the paper's own."""
    drop = bool(getattr(job.space.model, "score_without_shortcuts", False))
    metric = Metric(
        job.space.model, job.data.batches, seed=job.seed, drop_shortcuts=drop, loss=job.data.loss
    )
    return scored.Score("zico", metric, metric.passes)
