"""A rank sum of training-free scores: one for cells, for mobile networks, for Transformers; ranks
among random networks."""

from __future__ import annotations

from dataclasses import dataclass

from archsmith.methods import scored
from archsmith.methods.job import Job
from archsmith.methods.protocol import SharedWeights
from archsmith.metrics.proxies import build_all
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Reference, Referred
from archsmith.run import clock
from archsmith.run.records import Screened, Searched
from archsmith.spaces import described

_REFERENCE = 32  # networks whose scores the ranks are taken among
_FEWEST = 12  # ... where time is short
# of data; MeCo's one image counts nothing
_PASSES = {"archsmith": 2, "archsmith-mobile": 0, "archsmith-vit": 0}


@dataclass(frozen=True)
class Ensemble:
    """Random networks scored by the rank sum that was chosen for such spaces, evolution on it."""

    def screen(self, job: Job) -> Screened:
        """Scores random networks."""
        return scored.screen(job, _score(job))

    def search(self, job: Job, trained: SharedWeights | None = None) -> Searched:
        """Evolution on the score."""
        return scored.search(job, _score(job))


def _score(job: Job) -> scored.Score | None:
    """The ensemble that was chosen on networks of the kind, by the benchmark that `ENSEMBLES`
    names; None where there is too little time to score enough networks to take ranks among."""
    ensemble = ENSEMBLES[described(job.space.name).ensemble or "archsmith"]
    scores = build_all(
        ensemble.proxies,
        job.space.model,
        job.data.batches,
        costs=job.space.costs,
        seed=job.seed,
        loss=job.data.loss,
        # as it was chosen and judged: without dead operations
        canonical=described(job.space.name).canonical,
    )

    def reference() -> list[dict[str, float]]:
        late, values = scored.late(job, "ranks"), []
        for arch in (
            scored.some(job, _REFERENCE, "ranks")[0]
            if job.clock.seconds >= clock.SCORING_LEAST_S
            else ()
        ):
            if late():
                break
            values.append(scores(arch))
        return [{name: row[name] for name, _ in ensemble.members} for row in values]

    rows = job.log.decide("reference", reference)
    if len(rows) < _FEWEST:
        return None
    return scored.Score(
        ensemble.name, Referred(scores, Reference(ensemble, rows)), _PASSES[ensemble.name]
    )
