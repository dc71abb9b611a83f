"""Two processes by torchrun: a step is that of one process on the whole batch, BatchNorm apart; the
command line under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import batch, stream
from torch import nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, LayerNorm, Linear, OneOf
from archsmith.elastic.supernet import extract, search_space
from archsmith.training import Recipe, advance, start
from archsmith.training.checkpoint import load
from archsmith.training.distillation import Distillation
from archsmith.training.distributed import joined, spread
from archsmith.training.recipe import learning_rate
from archsmith.training.samplers import sandwich, uniform
from archsmith.training.shared_weights import shared_weights
from archsmith.training.step import whole

RECIPE = Recipe(lr=0.1, batch_size=16, ema=0.0, warmup=0.0)


def supernet(norm: str) -> nn.Sequential:
    """Input (B, 1, 8, 8)."""
    torch.manual_seed(0)
    layers = {
        "conv": Conv2d(4, 4, 3, padding=1, bias=False),
        "point": Conv2d(4, 4, 1, bias=False),
        "skip": nn.Identity(),
    }
    ends = [nn.Flatten(), Linear(256, 8), LayerNorm(8), nn.ReLU(), Linear(8, 4)]
    batch_norm = [BatchNorm2d(4)] if norm == "batch" else []
    return nn.Sequential(
        Conv2d(1, 4, 3, padding=1),
        *batch_norm,
        OneOf(layers, choice=Choice(*layers, name="op")),
        *ends,
    )


def odd() -> Any:
    """Batches of 15, which two processes cannot halve, then one image, which they cannot share."""
    for i, (x, y) in enumerate(stream()):
        yield (x[:1], y[:1]) if i == 2 else (x[:15], y[:15])


def paused(folder: Path) -> Any:
    """Half-way saved, read back and trained on: the others are sent everything anew."""
    model = supernet("layer")
    backward = shared_weights(uniform(search_space(model), 2))
    advance(
        start(model, RECIPE, seed=3),
        stream(),
        total_steps=6,
        until=0.5,
        checkpoint=folder / "half",
        backward=backward,
    )
    state = load(folder / "half", supernet("layer"))
    return advance(
        state,
        stream(state.step),
        total_steps=6,
        backward=shared_weights(uniform(search_space(state.module), 2)),
    )


def trained(case: str, folder: Path) -> Any:
    """One training of each kind; the same call alone and by the first of two processes."""
    if case == "paused":
        return paused(folder)
    model = supernet("batch" if case == "batch" else "layer")
    space = search_space(model)
    state = start(extract(model, {"op": "conv"}) if case == "whole" else model, RECIPE, seed=3)
    backward = {
        "whole": whole,
        "taught": shared_weights(
            sandwich(space),
            distillation=Distillation("largest", weight=0.5),
            macs=lambda arch: 10.0,
        ),
    }.get(case, shared_weights(uniform(space, 2)))
    return advance(
        state,
        odd() if case == "odd" else stream(),
        total_steps=1 if case == "batch" else 5,
        backward=backward,
    )


CASES = ("layer", "odd", "paused", "taught", "whole")
SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import torch
from test_distributed import CASES, joined, trained
from archsmith._internal.interrupts import leave
from archsmith.training.distributed import follow
torch.set_num_threads(1)
with joined() as rank:
    if rank:
        follow()
    else:
        for case in (*CASES, "batch"):
            state = trained(case, Path({folder!r}))
            ledger = (state.images, state.passes, state.macs)
            left = state.module.state_dict(), ledger, state.loss_sum
            torch.save(left, {folder!r} + f"/{{case}}.pt")
leave(0)
"""


def torchrun(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        *"-m torch.distributed.run --standalone --nproc-per-node 2".split(),
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("processes")
    script = place / "both.py"
    tests = Path(__file__).parent
    script.write_text(SCRIPT.format(paths=[str(tests), str(tests.parent)], folder=str(place)))
    done = torchrun(str(script))
    assert done.returncode == 0, done.stderr[-2000:]
    return place


@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_layer_norm_are_one_on_the_joint_batch(
    case: str, folder: Path, tmp_path: Path
) -> None:
    alone = trained(case, tmp_path)
    found, seen, loss = torch.load(folder / f"{case}.pt")
    for name, tensor in alone.module.state_dict().items():
        assert torch.allclose(tensor, found[name], atol=1e-6), name
    assert seen == (alone.images, alone.passes, alone.macs)
    assert loss == pytest.approx(alone.loss_sum, abs=1e-5)


def test_with_batch_norm_the_gradient_is_the_mean_of_the_parts(folder: Path) -> None:
    parts = []
    for rank in (0, 1):
        model = supernet("batch")
        state = start(model, RECIPE, seed=3)
        x, y = batch(0)
        shared_weights(uniform(search_space(model), 2))(state, x[rank::2], y[rank::2], 0.0)
        parts.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    model = supernet("batch")
    state = start(model, RECIPE, seed=3)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(RECIPE, 0.5)
    for name, parameter in model.named_parameters():
        if name in parts[0]:
            parameter.grad = (parts[0][name] + parts[1][name]) / 2
    state.optimizer.step()
    found = torch.load(folder / "batch.pt")[0]
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, found[name], atol=1e-6), name


def test_alone_it_is_as_without() -> None:
    with joined() as rank:
        assert rank == 0
        assert spread(whole) is whole


OWN = """
import threading
import time
from torch import nn
from archsmith.elastic import Choice, Conv2d, Linear

threading.Thread(target=time.sleep, args=(3000,)).start()


class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        width = Choice(4, 8, name="width")
        self.conv = Conv2d(channels, width, 3, stride=2, padding=1)
        self.head = Linear(width, classes)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
"""


def archsmith(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return torchrun(
        "-m", "archsmith", *words, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_the_main_command_under_torchrun(tmp_path: Path) -> None:
    """A space of the user's own file, shared weights; a mistake ends both processes; no thread is
    waited for at the end."""
    (tmp_path / "own.py").write_text(OWN)
    words = (*"search digits --space own.py:Net --method one-shot --steps 160 --trials 8".split(),)
    done = archsmith(*words, *"--threads 1 --no-reference --out run".split(), folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "done"
    wrong = archsmith(*"search digits --space own.py:Network --out other".split(), folder=tmp_path)
    assert wrong.returncode != 0
    assert "has no 'Network'" in wrong.stderr
    assert "archsmith/training/distributed.py" not in wrong.stderr, (
        "the other process ends without a traceback"
    )
