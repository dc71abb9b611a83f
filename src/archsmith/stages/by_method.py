"""Stages 3 to 5, screen, train, search: what the method of a run does in them, and the job that it
is handed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from torch import nn

from archsmith.errors import first_line
from archsmith.methods import auto, protocol
from archsmith.methods import method as named_method
from archsmith.methods.estimated import FOLLOWED
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace, Sharing
from archsmith.methods.protocol import FinishPlan, Method, SharedWeights, TooLittleTime
from archsmith.run import clock
from archsmith.run.decisions import FINALISTS, SECTION
from archsmith.run.records import Screened, Searched, Trained, Untrained
from archsmith.space import Architecture
from archsmith.stages import finish, supernet
from archsmith.stages.chosen import method_of
from archsmith.stages.work import Work

_TRIALS = 192  # networks that are scored where neither a number nor a time is given


@dataclass(frozen=True)
class ByMethod:
    """A run's method at work in this process."""

    work: Work

    @cached_property
    def method(self) -> Method:
        """The one that was asked for; what `auto` is in the space."""
        return method_of(self.work.run.request, self.work.space_name)

    def screen(self) -> Screened:
        """What it records of scores."""
        return protocol.screen(self.method, self.job())

    def train(self) -> Trained | Untrained:
        """What it records of weights that networks share, or why there are none."""
        try:
            weights = self._weights()
            if weights is None:
                why = "this method trains no shared weights"
                return Untrained(skipped=True, why=why)
            return protocol.recorded(self.method, weights)
        except TooLittleTime as error:
            return Untrained(skipped=True, why=str(error))

    def search(self) -> Searched:
        """Its short-list; that of a method without shared weights where its estimates are not to be
        followed."""
        if doubt := self.doubt():
            own = self.method
            if protocol.is_checked(own):
                own = named_method(auto(self.work.space_name), {})
            searched = protocol.search(own, self.job(), None)
            return searched.model_copy(update={"instead": doubt})
        searched = protocol.search(self.method, self.job(), self._weights())
        self._draw(searched)
        return searched

    def _draw(self, searched: Searched) -> None:
        """Keeps what the method adds to the report; one that cannot draw it costs no run."""
        trained = self.work.run.trained
        try:
            section = protocol.drawing(
                self.method, searched, trained if isinstance(trained, Trained) else None
            )
        except Exception as error:
            self.work.note(f"the method's part of the report is left out: {first_line(error)}")
            return
        if section is not None:
            self.work.run.decide(SECTION, section.to_json)

    def start(self) -> Callable[[Architecture], nn.Module | None] | None:
        """What training a network of the short-list begins with, where the method says so."""
        if self.doubt() or not protocol.has(self.method, "start"):
            return None

        @cache  # reading shared weights takes its time
        def begun() -> Callable[[Architecture], nn.Module | None] | None:
            return protocol.start(self.method, self.job(), self._weights())

        def start(arch: Architecture) -> nn.Module | None:
            make = begun()
            return None if make is None else make(arch)

        return start

    def plan(self) -> FinishPlan:
        """How the short-list is finished; where the method's is not followed, who teaches still
        is."""
        plan = protocol.finish(self.method)
        return FinishPlan(distill=plan.distill) if self.doubt() else plan

    def doubt(self) -> str | None:
        """Why what shared weights estimate is not followed, None where it is or where the method
        has none."""
        trained = self.work.run.trained
        if not self.work.shares or trained is None:
            return None
        if isinstance(trained, Untrained):
            return trained.why
        trust = trained.trust
        if not protocol.is_checked(self.method):
            return None
        if self.work.run.request.follow == "always" or trust.kendall >= FOLLOWED:
            return None
        return trust.why or (
            f"the estimates order networks that were trained by themselves with Kendall "
            f"{trust.kendall:.2f}, below {FOLLOWED}"
        )

    def job(self) -> Job:
        """What it is handed."""
        work = self.work
        request, run = work.run.request, work.run
        if work.shares:
            supernet.budget(work)

        def left() -> float:
            """Of the seconds for scores, as far as this run has spent them."""
            if not work.timed:
                return math.inf
            spent = work.stopwatch.spent
            return _scoring_s(work) - sum(spent.get(name, 0.0) for name in ("screen", "search"))

        return Job(
            data=JobData(
                work.scoring_batches,
                work.images.task,
                (lambda: self._sharing) if work.shares else None,
            ),
            space=JobSpace(
                work.model,
                work.space,
                work.costs,
                work.constraints,
                name=work.space_name,
                by_hand=work.by_hand,
                beside=work.beside,
                reference=work.thinned_reference,
            ),
            clock=JobClock(
                seconds=_scoring_s(work),
                spent=lambda: work.stopwatch.seconds,
                left=left,
                trials=request.trials if request.trials is not None or work.timed else _TRIALS,
                finalists=run.decide(FINALISTS, lambda: finish.finalists(work)),
                training=finish.training(work),
                referenced=work.referenced,
            ),
            log=JobLog(run.archive, run.decide, work.tell),
            seed=request.seed,
            device=work.device,
        )

    def _weights(self) -> SharedWeights | None:
        if not protocol.has(self.method, "train"):
            return None
        seconds = supernet.budget(self.work)[0] if self.work.shares else None
        if seconds is not None and seconds < clock.SHARED_LEAST_S:
            raise TooLittleTime("training one network needs all of the time")
        return protocol.train(self.method, self.job())

    @cached_property
    def _sharing(self) -> Sharing:
        """Its images are read once in a process."""
        return supernet.sharing(self.work)

    # -- how long it should take ------------------------------------------------------------------

    def screening_s(self) -> float | None:
        """Seconds that screening should take."""
        if not protocol.shares_of(self.method).scoring:
            return 0.0
        whole = _scoring_s(self.work)
        if self.work.shares or whole < clock.SCORING_LEAST_S:
            return 0.0
        return (1 - clock.SCORING_PARTS["screen"]) * whole

    def training_s(self) -> float | None:
        """Seconds for weights that networks share."""
        return supernet.budget(self.work)[0] if self.work.shares else 0.0

    def searching_s(self) -> float | None:
        """Seconds that the search should take after screening; None where there are too few to
        say."""
        shares = protocol.shares_of(self.method)
        if not (shares.scoring or shares.sharing):
            return 0.0
        whole = _scoring_s(self.work)
        if whole < clock.SCORING_LEAST_S:
            return None
        return max(0.0, whole - self.work.run.seconds().get("screen", 0.0))


def _scoring_s(work: Work) -> float:
    """Seconds for scores, or for estimates by shared weights."""
    return work.plan.scoring if work.timed else clock.SCORING_UNTIMED_S


# -- the lines for the progress table ------------------------------------------------------------


def screened_line(screened: Screened) -> str:
    """What was scored."""
    if screened.proxy is None:
        return screened.why or "nothing to score"
    best = screened.best
    return f"{screened.scored} networks scored by {screened.proxy}" + (
        f", best {best.score:.1f}" if best else ""
    )


def trained_line(trained: Trained | Untrained) -> str:
    """What was trained, and how far to trust it."""
    if isinstance(trained, Untrained):
        return trained.why
    count, trust = len(trained.nodes), trained.trust
    text = f"{count} supernet{'s' if count > 1 else ''} trained on {trained.images:,} images"
    if trust.why:
        return f"{text}; {trust.why}"
    return (
        f"{text}; on {len(trust.networks)} networks trained by themselves the estimates rank with "
        f"Kendall {trust.kendall:.2f} (p {trust.p:.2g})"
    )


def searched_line(searched: Searched) -> str:
    """What was short-listed, and by what."""
    count, how = len(searched.shortlist), searched.searcher
    text = f"{count} network{'s' if count != 1 else ''} short-listed"
    if searched.instead:
        text += f" without shared weights: {searched.instead}"
    elif not searched.trials and how != "random":
        text += f" {how if how.startswith('by ') else f'by the {how}'}, without scores"
    if searched.best and searched.random and searched.random.best:
        text += (
            f"; best score {searched.best.score:.1f} after {searched.trials} trials, random search "
            f"{searched.random.best.score:.1f} after {searched.random.trials}"
        )
    return text
