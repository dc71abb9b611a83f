"""What the stages share: the run, the data, the elastic model, the limits, and how much time is
left for what."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from archsmith._internal.hardware import emulates_bf16
from archsmith._internal.progress import Watch
from archsmith._internal.seeding import mix, seeded
from archsmith.data import Data, batches, chosen, ordered, together
from archsmith.data.augment import Augment, suggest
from archsmith.elastic.conversion import fixed_widths
from archsmith.elastic.sorting import sort_channels
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import extract, search_space, try_networks
from archsmith.elastic.views import decisions, once
from archsmith.errors import UserError
from archsmith.methods.protocol import Shares, shares_of
from archsmith.metrics.accuracy import evaluate
from archsmith.metrics.cost import LAYERS, Costs, macs
from archsmith.metrics.latency import LatencyTable
from archsmith.metrics.limits import constraints_of, counted, largest, resolved
from archsmith.problem import Candidate, Constraint, Problem
from archsmith.problem.budget import Limit, parse
from archsmith.run import clock
from archsmith.run.decisions import (
    BEGINS,
    BEGUN_WITH,
    ENOUGH_S,
    MACS,
    PLAN,
    SAMPLE_IMAGES,
    SHIP_LOOKS,
    TRAINING_PASSES,
    Begins,
)
from archsmith.run.records import Trained
from archsmith.run.records.profile import HandMades, ThinnedByHand
from archsmith.run.stopwatch import Stopwatch
from archsmith.run.store import Run
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import build_for, described
from archsmith.spaces.reference import Reference, beside, by_description, in_space
from archsmith.spaces.thinning import depths_of, thinned, widths_of
from archsmith.stages.chosen import method_of
from archsmith.tasks import Task
from archsmith.training.recipe import Precision, Recipe
from archsmith.training.step import Backward
from archsmith.training.throughput import images_per_second

PASSES = 25  # over the training images; fewer teach a small network little
UPDATES = 400  # ... and batches at least, where images are few
# MACs of a stack of dense convolutions for each image that it is to see (result size-cifar10)
_PER_IMAGE = 480.0
_SAMPLE = 1000  # validation images behind each point of a learning curve, and behind a cut
_NEARLY = 0.9  # of what is enough: it was timed for a moment
_FEWEST_SAMPLED = 64  # ... fewer where looking takes long, but not below this
_TELLING_S = 3.0  # of a stage, from which on it says how busy the machine is


@lru_cache(maxsize=8)
def _costs_of(task: Task, space: str, channels: int, size: int, *, names: tuple[str, ...]) -> Costs:
    """Counts of a space of this package: its tables, which take a second to check, serve every run
    of a process."""
    return Costs(build_for(task, space, channels, size), (channels, size, size), names)


def fitting_macs(trained: float, images: int, *, dense: bool) -> float:
    """MACs of a network that a time is good for. `trained`: the MACs over all images seen that can
    be trained in it.

    `dense`: stacks of dense convolutions. Their best size was the same for few images as for many;
    it is taken to grow with the number of images seen, and so with the root of the time, as that of
    language models does (Hoffmann and others, 2022). Others see each of `images` `PASSES` times.
    """
    return (_PER_IMAGE * trained) ** 0.5 if dense else trained / (PASSES * images)


def _slower(seconds: float, waited: float) -> float:
    """Times as long as without waiting."""
    return seconds / max(seconds - waited, 0.2 * seconds, 1e-6)


@dataclass(frozen=True)
class Work:
    """One process working on one run. What is read or built for it is made once, when it is first
    asked for.

    `read`: gives the images.
    """

    run: Run
    watch: Watch
    device: torch.device
    threads: int
    read: Callable[[Work], Data]

    @cached_property
    def asked_of_clock(self) -> Shares:
        """What the method asks of the clock."""
        return shares_of(method_of(self.run.request, self.space_name))

    @property
    def shares(self) -> bool:
        """Whether the method trains weights that networks share."""
        return self.asked_of_clock.sharing

    # -- the data ---------------------------------------------------------------------------------

    @cached_property
    def images(self) -> Data:
        """The data: as asked for, or as the look stage left it."""
        return self.read(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the network's input."""
        return self.images.channels, self.images.size, self.images.size

    def stream(
        self, batch_size: int, start: int = 0, *, augmented: bool = True, validation: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless training batches from step `start`; `validation`: of those images, too."""
        augment = self.augment if augmented else None
        train, val = (self.images.parts[name] for name in ("train", "val"))
        return batches(
            together(train, val) if validation else train,
            batch_size,
            data=self.images,
            seed=self.run.request.seed,
            augment=augment,
            device=self.device,
            start=start,
            workers=self.workers,
        )

    @property
    def augment(self) -> Augment:
        """What is done to training images: as asked, or as the data and the passes suggest that
        finish reckons with."""
        level = str(self.run.request.training.get("augment", "auto"))
        suggested = suggest(self.images, level, passes=self.run.decided(TRAINING_PASSES) or 0.0)
        # mixed labels are no indices of classes, which a loss of the user's own is given
        return replace(suggested, mixup=0.0) if self.run.request.loss else suggested

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What is tried beside the recipe's precision: where seconds count, unless one was asked
        for.

        On accelerators the recipe knows what pays, and what is emulated never does; with --steps
        the result must not depend on how fast this machine is.
        """
        asked = "precision" in self.run.request.training
        slow = self.device.type != "cpu" or emulates_bf16()
        return ("bf16",) if self.timed and not asked and not slow else ()

    def part(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """A part once, in order."""
        return ordered(self.images.parts[name], 256, self.images, self.device, workers=self.workers)

    def validation_sample(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Some of the validation images, spread over all of them, for learning curves."""
        part = self.images.parts["val"]
        some = chosen(part, np.arange(0, len(part), self.sample_every))
        return ordered(some, 256, self.images, self.device, workers=self.workers)

    def training_sample(self) -> Iterator[tuple[Tensor, Tensor]]:
        """As many of the training images as of the validation ones, at most a thousand, spread over
        all of them, as they are."""
        part = self.images.parts["train"]
        most = min(_SAMPLE, len(self.images.parts["val"]), len(part))
        some = chosen(part, np.linspace(0, len(part) - 1, most).astype(np.int64))
        return ordered(some, 256, self.images, self.device, workers=self.workers)

    def evaluated(
        self, network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]
    ) -> dict[str, Any]:
        """How well it does what it is for."""
        return evaluate(network, batches, self.images.task.judge)

    @property
    def sample_every(self) -> int:
        """One in so many validation images is looked at for the curves."""
        return -(-len(self.images.parts["val"]) // (self.run.decided(SAMPLE_IMAGES) or _SAMPLE))

    @property
    def workers(self) -> int:
        """Threads that decode ahead, where the images are not in memory."""
        return 0 if self.images.parts["train"].resident else max(1, self.threads)

    @cached_property
    def scoring_batches(self) -> list[tuple[Tensor, Tensor]]:
        """Two mini-batches of 64 for training-free scores, the same for every network, without
        augmentation."""
        stream = batches(
            self.images.parts["train"],
            min(64, max(2, len(self.images.parts["train"]) // 2)),
            data=self.images,
            seed=mix(self.run.request.seed, "scores"),
            augment=None,
            device=self.device,
            start=0,
            workers=0,
        )
        return [next(stream), next(stream)]

    # -- the space --------------------------------------------------------------------------------

    @property
    def space_name(self) -> str:
        """The space asked for; what auto is for these images, from the first look at them on."""
        return self.run.space

    @property
    def begins(self) -> Begins:
        """What networks begin with: given weights, or fresh ones."""
        decided = self.run.decided(BEGINS)
        return Begins(weights=self.run.request.init) if decided is None else decided

    @property
    def model(self) -> nn.Module:
        """The elastic network: on meta, or with the weights that networks begin with."""
        return self._model[0]

    @property
    def init_remark(self) -> str | None:
        """What of the given weights was taken; None without them."""
        return self._model[1]

    @cached_property
    def _model(self) -> tuple[nn.Module, str | None]:
        channels, size, _ = self.shape
        begins = self.begins
        device: Literal["cpu", "meta"] = "meta" if begins.weights is None else "cpu"
        with seeded(mix(self.run.request.seed, "what is not given")):
            model = build_for(self.images.task, self.space_name, channels, size, device=device)
        if begins.weights is None:
            return model, None
        from archsmith.stages.init import load_into

        remark = load_into(
            model,
            Path(begins.weights),
            space=self.space_name,
            option=self.run.request.weights_option,
        )
        if begins.published or fixed_widths(model) is not None:
            sort_channels(model)  # of one network: narrower ones take the best of its channels
        self.run.event("init", said=remark)
        return model, remark

    @cached_property
    def space(self) -> SearchSpace:
        """Its search space."""
        space = search_space(self.model)
        if not space:
            raise UserError(
                f"space '{self.space_name}' declares no decision, so there is nothing to search; "
                "write a Choice where torch takes a number, e.g. Conv2d(3, Choice(16, 24), 3)"
            )
        if ":" in self.space_name:
            self._try(space.extreme(0))
        return space

    def _try(self, arch: Architecture) -> None:
        """UserError where a network of the user's own space cannot take the images, or gives
        something else than is wanted."""
        try:
            try_networks(self.model, self.shape)
        except UserError as error:
            raise UserError(f"space '{self.space_name}': {error}") from error
        subject = f"space '{self.space_name}': its network {dict(arch)}"
        network = extract(
            self.model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu"
        ).eval()
        try:
            with torch.no_grad():
                outputs = network(torch.zeros(2, *self.shape))
        except Exception as error:
            raise UserError(
                f"{subject} cannot take images of shape {self.shape}: {type(error).__name__}: "
                f"{error}; a function or class gets "
                "`classes`, `channels` and `size` where its signature has them"
            ) from error
        task = self.images.task
        wanted = (2, *self.shape) if task.kind == "reconstruction" else (2, task.outputs)
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != wanted:
            has = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise UserError(f"{subject} gives {has} for 2 images, where {wanted} is wanted")

    @cached_property
    def costs(self) -> Costs:
        """params and macs of an architecture, and what else the budget bounds."""
        names = counted(parse(self.run.request.budget))
        wide = tuple(dict.fromkeys((*names, *LAYERS)))
        if self.begins.weights is None and ":" not in self.space_name:
            channels, size, _ = self.shape
            counts = _costs_of(self.images.task, self.space_name, channels, size, names=wide)
        else:
            counts = Costs(self.model, self.shape, wide)
        return counts.showing(*names)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """The budget as asked for; with none, and with --time, the MACs that can be trained
        properly in that time.

        Shares of what the largest network costs are made absolute once, in profile, as latency is
        measured for that. A network that is trained further is what it is: only what was asked for
        bounds it.
        """
        asked = parse(self.run.request.budget)
        if not asked and self.macs_of_time is not None:
            return (Limit("macs", "<=", self.macs_of_time),)
        if not any(limit.of for limit in asked):
            return asked
        if (profiled := self.run.profiled) is not None:
            return tuple(bound.as_limit for bound in profiled.budget)
        return resolved(asked, largest(self.space, self.costs, self.latency))

    @property
    def dense(self) -> bool:
        """Whether the networks that matter are stacks of dense convolutions: the space has them by
        hand, and begins from nothing."""
        return described(self.space_name).hand_made and self.begins.weights is None

    @cached_property
    def macs_of_time(self) -> float | None:
        """MACs that the time is good for, where they bound anything: without a budget the space,
        with one what is made by hand.

        So a wide budget is not used up. None where steps count, for a network that is trained
        further, and where a budget asks for a least size.
        """
        if self.begins.published:  # as it was decided with the side of the images
            return self.run.decided(MACS)
        asked = parse(self.run.request.budget)
        if not self.timed or self.run.decided(BEGUN_WITH) is not None or (asked and not self.dense):
            return None
        if any(limit.op == ">=" for limit in asked):
            return None
        return self.run.decide(MACS, self._trainable_macs)

    def _trainable_macs(self) -> float:
        """Timed on one network: in the family on one by hand, as a random one of depthwise blocks
        takes much longer."""
        network, each = self._stacked() if self.dense else self._drawn()
        # MACs trained per second
        rate = each * images_per_second(network, self.shape, Recipe(), device=self.device)
        request = self.run.request
        seconds = min(
            clock.first_guess(request.time_s or self.left_s, request.reference, request.refit),
            self.left_s,
        )
        fitting = fitting_macs(rate * seconds, len(self.images.parts["train"]), dense=self.dense)
        return max(2.0 * self._macs_of(self.space.extreme(0)), fitting)

    def _drawn(self) -> tuple[nn.Module, float]:
        """A random network of the space, and its MACs."""
        arch = once(self.space.sample(Random(self.run.request.seed)), decisions(read(self.model)))
        return self.plain(arch), self._macs_of(arch)

    def _stacked(self) -> tuple[nn.Module, float]:
        """A hand-made network of pooled convolutions, and its MACs."""
        task = self.images.task
        made = Reference(
            "timed",
            task.outputs,
            *self.shape[:2],
            depth=2,
            width=1.0,
            head=0,
            kind="pooled",
            first=0,
        )
        return made.make(0, task.headed), macs(made.make(None, task.headed), self.shape)

    def _macs_of(self, arch: Architecture) -> float:
        """Of one network, exactly: tables for all of the space, which take seconds to check, come
        with the budget."""
        return float(macs(extract(self.model, arch, "fresh", device="meta").eval(), self.shape))

    def sample_size(self, image_s: float) -> int:
        """How many validation images a look may take in, at `image_s` seconds each; decided
        once."""
        if not self.timed:
            return _SAMPLE
        fits = clock.SAMPLE * self.plan.search / max(image_s, 1e-9)
        return self.run.decide(SAMPLE_IMAGES, lambda: int(min(_SAMPLE, max(_FEWEST_SAMPLED, fits))))

    @cached_property
    def latency(self) -> LatencyTable | None:
        """What blocks take, where the budget bounds latency: measured in profile, then read from
        the run."""
        if not any(limit.metric == "latency" for limit in parse(self.run.request.budget)):
            return None
        return LatencyTable(
            self.model,
            self.shape,
            threads=self.threads,
            path=self.run.block_times,
            counts=self.costs.showing("params", "macs", *LAYERS),
        )

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The budget as constraints; latency by the table."""
        return constraints_of(self.limits, self.costs, self.latency)

    def by_hand(
        self, limits: Sequence[Constraint] = (), views: int = 1
    ) -> tuple[Architecture, ...]:
        """What anybody would begin with, the likeliest first: the hand-made networks as
        architectures of the space, or parts of the network whose weights are given.

        As far as it has such, and narrower where that is needed to keep `limits`, too, or to look
        so often at an image.
        """
        if self.begins.weights is not None:
            return self.parts_by_hand(limits)
        if not self.dense:
            return ()
        archs = (in_space(self.space, one, self._keeps(limits), views) for one in self._made())
        return tuple(dict.fromkeys(arch for arch in archs if arch is not None))

    def parts_by_hand(self, limits: Sequence[Constraint] = ()) -> tuple[Architecture, ...]:
        """What is made by hand of a network that is begun with, within the budget.

        Of a published one: its first stages whole, the longest first; then longer ones of narrower
        layers, the widest first. Of another: shallower and narrower, shallower, narrower.
        """
        published, keeps = described(self.space_name).pretrained, self._keeps(limits)
        widths = widths_of(self.model)
        if published is None:
            depths = depths_of(self.space, self.model)
            forms: list[tuple[tuple[str, ...], dict[str, Any]]]
            forms = [((*widths, *depths), {}), (depths, {}), (widths, {})]
        else:
            ends = sorted(self.space[published.cut], reverse=True)
            forms = [(widths, {published.cut: end}) for end in ends]
        parts = (thinned(self.space, names, keeps, cut) for names, cut in forms)
        archs = [arch for arch in parts if arch is not None]
        if published is not None:
            archs.sort(key=lambda arch: -round(self.wide(arch), 6))
        return tuple(dict.fromkeys(archs))

    def thinned(self) -> Architecture | None:
        """The whole network that is begun with, all layers narrower by one share, within the
        budget."""
        published = described(self.space_name).pretrained
        whole = {} if published is None else {published.cut: max(self.space[published.cut])}
        return thinned(self.space, widths_of(self.model), self._keeps(()), whole)

    def wide(self, arch: Architecture) -> float:
        """The mean of its widths, as shares of the largest there are."""
        shares = [
            arch[name] / max(self.space[name]) for name in widths_of(self.model) if name in arch
        ]
        return sum(shares) / max(1, len(shares))

    def beside(self, count: int, views: int = 1) -> tuple[Architecture, ...]:
        """Up to so many neighbors of the first hand-made network, within the budget and what the
        time is good for."""
        for one in self._made()[:1]:
            drawn = beside(
                self.space, one, self._keeps(()), Random(self.run.request.seed), views=views
            )
            return tuple(dict.fromkeys(itertools.islice(drawn, 2 * count)))[:count]
        return ()

    def _made(self) -> list[Reference]:
        hand_made = self._references
        made = (
            []
            if hand_made is None
            else [by_description(one.to_json()) for one in hand_made.networks]
        )
        return [one for one in made if isinstance(one, Reference)]

    @property
    def _references(self) -> HandMades | None:
        profiled = self.run.profiled
        return None if profiled is None else profiled.references

    def _keeps(self, limits: Sequence[Constraint]) -> Callable[[Architecture], bool]:
        time = (
            ()
            if self.macs_of_time is None
            else constraints_of((Limit("macs", "<=", self.macs_of_time),), self.costs, None)
        )
        bounds = Problem(self.space, (), (*self.constraints, *time, *limits))
        return lambda arch: bounds.evaluate([Candidate(arch)])[0].feasible

    def plain(self, arch: Architecture) -> nn.Module:
        """A network for training, on the CPU: fresh weights by seed and architecture, or those
        that networks begin with."""
        if self.begins.weights is not None:
            return extract(self.model, arch, "shared")
        return extract(
            self.model,
            arch,
            "fresh",
            torch.Generator().manual_seed(mix(self.run.request.seed, arch.key)),
        )

    @cached_property
    def step(self) -> Backward:
        """What a training step of finish computes: from labels alone, or from a teacher as well,
        where one was decided on."""
        from archsmith.stages.teacher import step_of

        return step_of(self)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells shared weights of this run from those of another; a run that `again` made has
        them from its origin."""
        record, data = self.run.record, self.images.facts["data_hash"]
        own = {"loss": self.run.loss} if self.run.loss else {}
        return {
            "run": record.get("origin") or record["id"],
            "data": data,
            "seed": self.run.request.seed,
            **own,
        }

    def note(self, text: str) -> None:
        """Tells a person, now and in the log."""
        self.run.event("note", text=text)
        self.watch.note(text)

    # -- time -------------------------------------------------------------------------------------

    @property
    def timed(self) -> bool:
        """Whether --time rules; otherwise --steps."""
        return self.run.request.steps is None

    @cached_property
    def stopwatch(self) -> Stopwatch:
        """Counts the seconds of the stages."""
        return Stopwatch(self.run)

    @property
    def spent_s(self) -> float:
        """Seconds of work so far, over all processes, the running stage included."""
        return sum(self.stopwatch.spent.values())

    @property
    def left_s(self) -> float:
        """Seconds left before shipping must begin."""
        assert self.run.request.time_s is not None
        return self.run.request.time_s - self.spent_s - self.ship_s

    @property
    def ship_s(self) -> float:
        """Kept back for shipping, as the machine is now: what finish reckoned of the looks at test
        images comes on top."""
        assert self.run.request.time_s is not None
        return clock.shipping(
            self.run.request.time_s, self.slowdown, self.run.decided(SHIP_LOOKS) or 0.0
        )

    @property
    def slowdown(self) -> float:
        """How many times as long as on a quiet machine things take: over all of the run or in the
        running stage, the worse."""
        watch, whole = self.stopwatch, sum(self.stopwatch.waits.values())
        running = watch.seconds > _TELLING_S
        current = [_slower(watch.seconds, watch.waited)] if running else []
        return max([_slower(self.spent_s, whole), *current])

    @cached_property
    def plan(self) -> clock.Plan:
        """How the time that is left is shared out; decided once, after profile, then read back.
        Only with --time."""
        assert self.run.request.time_s is not None
        return clock.Plan(
            **self.run.decide(PLAN, partial(self._planned, self.run.request.time_s)).to_json()
        )

    def _planned(self, total_s: float) -> dict[str, Any]:
        planned = partial(
            clock.refitted if self.run.request.refit else clock.planned,
            total_s,
            self.left_s,
            shares=self.shares,
            kept=self.asked_of_clock.kept,
        )
        plan = planned(reference=self._comparable)
        # what ships comes first: half of the time must be enough to learn from the images
        enough = self.run.decided(ENOUGH_S)
        if plan.reference and enough is not None and plan.training < _NEARLY * enough:
            plan = planned(reference=False)
        if self._comparable and not plan.reference:
            self.note("no hand-made network is trained beside: the time is not enough for both")
        return plan.to_json()

    @property
    def referenced(self) -> bool:
        """Whether hand-made networks are trained beside: there are some, with --time it is enough
        for both, and the search trains another."""
        enough = not self.timed or self.plan.reference > 0
        return self._comparable and enough and not self.same_as_reference

    @property
    def same_as_reference(self) -> bool:
        """Whether all that the search found is the very network that would be trained beside it,
        from the same weights."""
        searched, reference = self.run.searched, self.thinned_reference
        if searched is None or reference is None or isinstance(self.run.trained, Trained):
            return False
        return all(Architecture.from_json(one.options) == reference for one in searched.shortlist)

    @property
    def thinned_reference(self) -> Architecture | None:
        """The architecture of the network that is trained beside, where that is a version of the
        one that is begun with."""
        made = self._references.networks if self._references else ()
        return next(
            (Architecture.from_json(one.options) for one in made if isinstance(one, ThinnedByHand)),
            None,
        )

    @property
    def _comparable(self) -> bool:
        """Whether hand-made networks may be trained: asked for, and there are some that fit the
        budget."""
        if not self.run.request.reference:
            return False
        hand_made = self._references
        return hand_made is None or bool(hand_made.networks)  # None: they follow the chosen network

    def tell(self, text: str, share: float | None) -> None:
        """Passes progress on, and saves the clock every now and then."""
        self.watch.tick(text, share)
        self.stopwatch.save(every=2.0)
