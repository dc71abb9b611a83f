"""The input size by time: the largest at which a network of the budget sees each image often
enough, by a few timed steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import torch
from torch import nn

from archsmith.data import Seen
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.timing import whole_ms
from archsmith.problem.budget import Limit, parse
from archsmith.run import clock
from archsmith.run.decisions import ENOUGH_S, MACS
from archsmith.spaces import build, described
from archsmith.spaces.reference import COUNTED_AS_WRITTEN, Fit, Reference
from archsmith.stages.parts import SIDES, SMALLEST, Part, network, parts
from archsmith.stages.work import PASSES, UPDATES, Work
from archsmith.training.recipe import Recipe, default_recipe
from archsmith.training.throughput import images_per_second

_SIDES = (224, 192, 160, 128, 96, 64, 48, 40, 32)  # smaller than 32 only where the images are
_MEASURED = 4  # sizes
# images of this side pay with the fewest passes; larger ones must be seen oftener by this power
_SMALL, _LARGER = 32, 2.0
# dense networks, of so many images; oftener by this power of how much fewer
_DENSE_PASSES, _IMAGES, _FEWER = 4.5, 40_000, 0.75
# of the hand-made network that is timed; narrower where the budget asks for it
# of published networks: times as large as the images, at most; passes that are enough; the end that
# is better than a larger side (result published-parts)
_ENLARGED, _TUNED, _DEEP = 2, 8.0, 5
_WIDTH, _NARROWEST, _DEPTH = 0.5, 0.05, 2
_NARROWER, _SHORT = 0.7, 0.3  # a step of the width; steps that are not jumped


def sized(work: Work, seen: Seen) -> tuple[int, str | None]:
    """The side, and what to say of it; as suggested, without a word, where the time allows it, or
    where steps are counted."""
    if work.begins.published:
        return of_published(work, seen)
    # a network whose weights are given was trained on images as they are
    if not work.timed or work.begins.weights is not None:
        return seen.suggested, None
    recipe = default_recipe(seen.images, device=work.device)
    asked = work.run.request
    training = clock.first_guess(asked.time_s or 0.0, asked.reference, asked.refit)
    least = wanted(seen.images, recipe, dense=work.dense)
    sides = [seen.suggested, *(side for side in _SIDES if side < seen.suggested)]
    place = 0
    rates: dict[int, float] = {}
    while len(rates) < _MEASURED:
        side = sides[place]
        rates[side] = _images_per_second(work, seen, side, recipe)
        short = least * _oftener(side) / (training * rates[side])
        if short <= 1 or place == len(sides) - 1:
            break
        # the work is that of the pixels, where the budget does not bound it, and so are the passes:
        # between the second and the fourth power of the side
        goal = side / short**0.35
        place = min(range(place + 1, len(sides)), key=lambda i, goal=goal: abs(sides[i] - goal))  # type: ignore[misc]
    side = min(rates)
    enough = least * _oftener(side)
    passes, steps = training * rates[side] / seen.images, training * rates[side] / recipe.batch_size
    what = f"about {passes:.0f} passes over the {seen.images:,} training images ({steps:.0f} steps)"
    needed = clock.total_for(enough / rates[side], asked.reference, asked.refit)
    work.run.decide(ENOUGH_S, lambda: enough / rates[side])
    text = None
    if side < seen.suggested:
        text = (
            f"input of {side} x {side} where the images would allow {seen.suggested}: the time "
            f"gives {what} at that size"
        )
    if training * rates[side] < least / 2:
        text = f"{text}; " if text else f"the time gives {what}; "
        text += (
            f"that is little: give --time {math.ceil(needed / 60)}m for "
            f"{enough / seen.images:.0f} passes"
        )
    return side, text


def of_published(work: Work, seen: Seen) -> tuple[int, str | None]:
    """The side at which the network that is begun with is to see the images, and what to say of it;
    how far it goes there is bounded by its MACs (`MACS`).

    The largest part within the budget that sees each image often enough in the time; those that
    end early only where the budget admits no longer one at any side.
    """
    limits = [limit for limit in parse(work.run.request.budget) if limit.op == "<="]
    sides = [side for side in SIDES if side <= max(SMALLEST, _ENLARGED * seen.suggested)]
    candidates = list(parts(work.space_name, seen, sides, limits))
    deepest = min(_DEEP, max((part.end for part in candidates), default=_DEEP))
    candidates = [part for part in candidates if part.end >= deepest]
    candidates.sort(key=lambda part: -part.costs["macs"])
    asked = work.run.request
    training = clock.first_guess(asked.time_s or 0.0, asked.reference, asked.refit)
    rate = None  # MACs trained in a second, of the smallest part
    for part in candidates:
        if not _in_time(work, seen, part, limits):
            continue
        if not work.timed:
            return part.side, None
        if rate is None:
            small = candidates[-1]
            made = network(work.space_name, seen, small)
            shape = (seen.channels, small.side, small.side)
            pace = images_per_second(made, shape, Recipe(), device=work.device)
            rate = small.costs["macs"] * pace
        passes = training * rate / part.costs["macs"] / seen.images
        if passes >= _TUNED or part is candidates[-1]:
            work.run.decide(MACS, lambda most=part.costs["macs"]: float(most))  # type: ignore[misc]
            return part.side, (
                f"input of {part.side} x {part.side}: about {passes:.0f} passes in the time"
            )
    return SMALLEST, None


def _in_time(work: Work, seen: Seen, part: Part, limits: Sequence[Limit]) -> bool:
    """Whether a part keeps a limit of latency; a share of the whole's own is looked at later."""
    for limit in limits:
        if limit.metric == "latency" and not limit.of:
            shape = (seen.channels, part.side, part.side)
            made = network(work.space_name, seen, part)
            return limit.met(whole_ms(made, shape, threads=work.threads))
    return True


def _oftener(side: int) -> float:
    """How many times as often images should be seen at a larger side for it to pay (result
    input-size-passes)."""
    return max(1.0, (side / _SMALL) ** _LARGER)


def wanted(images: int, recipe: Recipe, *, dense: bool) -> float:
    """Images that a network should see in its training, of so many that there are.

    `dense`: stacks of dense convolutions, which learn from fewer passes, the fewer, the more images
    there are (results size-cifar10, size-cifar10-500).
    """
    passes = min(PASSES, _DENSE_PASSES * (_IMAGES / images) ** _FEWER) if dense else PASSES
    return max(passes * images, UPDATES * recipe.batch_size)


def _images_per_second(work: Work, seen: Seen, side: int, recipe: Recipe) -> float:
    """In training, of one network."""
    return images_per_second(
        _network(work, seen, side), (seen.channels, side, side), recipe, device=work.device
    )


def _network(work: Work, seen: Seen, side: int) -> nn.Module:
    """A hand-made one within the budget's upper limits of MACs and parameters (shares of what the
    largest network costs bound nothing: it is not known yet); of other spaces a random one."""
    shape = (seen.channels, side, side)
    kind = described(work.space_name).timed
    if kind is None:
        model = build(work.space_name, seen.outputs, seen.channels, side)
        return extract(
            model,
            search_space(model).sample(Random(work.run.request.seed)),
            "fresh",
            torch.Generator().manual_seed(0),
            device="cpu",
        )
    asked = parse(work.run.request.budget)
    fit = Fit(
        {
            limit.metric: limit.value
            for limit in asked
            if limit.op == "<=" and not limit.of and limit.metric in COUNTED_AS_WRITTEN
        },
        shape,
    )
    one = Reference(
        "timed", seen.outputs, seen.channels, side, depth=_DEPTH, width=_WIDTH, head=0, kind=kind
    ).scaled(_WIDTH)
    while one.width >= _NARROWEST and (over := fit.used(one)) > 1:
        width = one.width
        for _ in range(_steps(over)):
            width *= _NARROWER
        one = one.scaled(width)
    return one.make(0)


def _steps(over: float) -> int:
    """How often to make it narrower at once, where it is so many times as large as the limit:
    counts go with the square of the width, nearly; a step too few is taken next."""
    if math.isinf(over):
        return 8
    return max(1, int(math.log(over) / (-2 * math.log(_NARROWER)) - _SHORT))
