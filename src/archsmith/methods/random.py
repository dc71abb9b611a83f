"""Random search: feasible networks, unranked, straight to training; the baseline that every method
has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from archsmith.feasibility.sampler import feasible_sample
from archsmith.methods.job import Job
from archsmith.methods.listing import entry, shortlist
from archsmith.methods.protocol import SharedWeights
from archsmith.run.records import Searched


@dataclass(frozen=True)
class RandomSearch:
    """As many feasible architectures as can be trained, each equally likely."""

    def search(self, job: Job, trained: SharedWeights | None = None) -> Searched:
        """Drawn by the seed; nothing is scored."""
        archs = feasible_sample(
            job.space.decisions, job.space.limits, Random(job.seed), job.clock.finalists
        )
        return shortlist("random", (entry(arch, "random") for arch in archs))
