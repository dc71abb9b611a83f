"""Code of a user that a type checker reads (test_typed_user.py): the public names have types that
hold and that catch mistakes.

Lines that end in `# wrong: CODE` are mistakes that must be found, with that code of mypy's; nothing
else may be.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import archsmith
from archsmith.elastic import Conv2d, Linear
from archsmith.searchers import make


def finished(photos: Path) -> archsmith.Result:
    """A search with its keywords."""
    return archsmith.search(
        photos, budget="macs<=60M", out="runs/photos", steps=400, fit="crop", training={"lr": 0.1}
    )


def mistaken(photos: Path) -> None:
    """What a checker says before anything runs."""
    archsmith.search(photos, out="runs/photos", colour="red")  # wrong: call-arg
    archsmith.search(photos, out="runs/photos", fit="round")  # wrong: arg-type
    archsmith.search(photos)  # wrong: call-arg
    archsmith.maximize("accuracy")  # wrong: arg-type
    archsmith.open_run("runs/photos").best().colour()  # wrong: operator
    archsmith.nothing_of_this_name()  # wrong: attr-defined


def caught(run: Path) -> str:
    """An error by its name in a package that `archsmith` gives without an import of its own."""
    try:
        return str(archsmith.resume(run).summary()["status"])
    except archsmith.errors.UserError as error:
        return str(error)


def searched() -> float:
    """A problem over a space made by hand."""
    space = archsmith.SearchSpace({"width": (16, 24, 32)})

    def score(arch: archsmith.Architecture) -> float:
        return float(arch["width"])

    problem = archsmith.Problem(space, [archsmith.maximize(score)], [archsmith.at_most(score, 24)])
    archive = archsmith.run_searcher(problem, make("random")(problem, seed=0), trials=3)
    best = archive.best
    assert best is not None
    return best.losses[0]


def trained() -> int:
    """Elastic layers and the functions over them."""
    width = archsmith.Choice(8, 16, name="width")
    double = archsmith.Derived(lambda w: 2 * w, width)
    from torch import nn

    model = nn.Sequential(
        Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, double)
    )
    arch = archsmith.search_space(model).sample(Random(0))
    with archsmith.active(model, arch) as network:
        network.train()
    return sum(parameter.numel() for parameter in archsmith.extract(model, arch).parameters())
