"""What a method that trains shared weights is handed: its part of the time, its images, the network
with weights."""

from __future__ import annotations

import copy
import itertools
import time
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn

from archsmith._internal.seeding import mix, seeded
from archsmith.data import Part, batches, chosen, ordered
from archsmith.feasibility.sampler import a_few
from archsmith.methods.job import Sharing
from archsmith.run import clock
from archsmith.run.decisions import SHARING_IMAGES, SHARING_SECONDS, SHARING_STEPS
from archsmith.spaces import build_for
from archsmith.stages.finish import class_counts, recipe_for
from archsmith.stages.work import Work

_HELD_OUT, _CALIBRATION = 1024, 1024  # images, at most a tenth of those for training
_RATE = 0.5  # of a single network's learning rate, for weights that many share
_FEWEST = 64  # ... fewer where looking at them takes long


def budget(work: Work) -> tuple[float | None, int | None]:
    """(seconds, steps) for shared weights, one of them None; decided once."""
    if work.timed:
        return work.run.decide(SHARING_SECONDS, lambda: work.plan.sharing), None
    return None, work.run.decide(
        SHARING_STEPS, lambda: max(1, int(clock.SHARED_STEPS * (work.run.request.steps or 0)))
    )


def sharing(work: Work) -> Sharing:
    """The images to judge by are part of the training images: finish trains on them again,
    validation and test stay unseen."""
    seconds, steps = budget(work)
    data, seed = work.images, work.run.request.seed
    most = (
        _HELD_OUT
        if seconds is None
        else work.run.decide(SHARING_IMAGES, partial(_affordable, work, seconds))
    )
    trained, held_out = _divided(data.parts["train"], most)
    recipe = recipe_for(work)
    recipe = replace(
        recipe, lr=recipe.lr if "lr" in work.run.request.training else _RATE * recipe.lr
    )
    recipe = replace(recipe, ema=0.0, clip_norm=5.0, grow=1.0)
    augment = work.augment

    def stream(start: int) -> Any:
        return batches(
            trained,
            recipe.batch_size,
            data=data,
            seed=mix(seed, "shared"),
            augment=augment,
            device=work.device,
            start=start,
            workers=work.workers,
        )

    each = min(256, most, len(trained))
    plain = batches(
        trained, each, data=data, seed=mix(seed, "calibration"), augment=None, device=work.device
    )
    calibration = [
        x for x, _ in itertools.islice(plain, max(1, min(_CALIBRATION, most, len(trained)) // each))
    ]
    return Sharing(
        make=partial(_with_weights, work),
        stream=stream,
        calibration=calibration,
        held_out=list(ordered(held_out, 256, data, work.device, workers=work.workers)),
        recipe=recipe,
        class_counts=class_counts(work),
        seconds=seconds,
        steps=steps,
        folder=work.run.folder / "checkpoints",
        of=work.identity,
        note=work.note,
    )


def _affordable(work: Work, seconds: float) -> int:
    """Images to judge by, and as many to calibrate with, of which an estimate takes little of the
    time: of a hand-made network, or a random one where there is none."""
    rng = Random(work.run.request.seed)
    arch = (work.by_hand() or a_few(work.space, work.constraints, rng, 1))[0]
    network = work.plain(arch).to(work.device).eval()
    x, taken = work.scoring_batches[0][0], []
    with torch.inference_mode():
        for _ in range(2):
            began = time.monotonic()
            network(x)
            taken.append(time.monotonic() - began)
    return int(min(_HELD_OUT, max(_FEWEST, clock.ESTIMATE * seconds / (2 * min(taken) / len(x)))))


def _divided(part: Part, most: int = _HELD_OUT) -> tuple[Part, Part]:
    """Most of it, and every so many-th image of each class."""
    count = min(most, max(1, len(part) // 10))
    by_class = np.argsort(part.labels, kind="stable")
    taken = np.sort(by_class[:: len(part) // count][:count])
    rest = np.setdiff1d(np.arange(len(part)), taken)
    return chosen(part, rest), chosen(part, taken)


def _with_weights(work: Work, parts: int | None = None) -> nn.Module:
    """A network of its own: new weights by the seed, or those that networks begin with."""
    if work.begins.weights is not None and parts is None:
        return copy.deepcopy(work.model)
    channels, size, _ = work.shape
    with seeded(mix(work.run.request.seed, "shared weights")):
        return build_for(
            work.images.task, work.space_name, channels, size, device="cpu", partial=parts
        )
