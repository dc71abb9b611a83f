"""Two processes by torchrun: one step is that of one process on the joint batch, BatchNorm apart."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import batch, stream
from torch import nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, LayerNorm, Linear, OneOf
from archsmith.errors import UserError
from archsmith.supernet import search_space
from archsmith.training import Recipe, advance, start
from archsmith.training.ranks import averaged, joined, own_part
from archsmith.training.recipe import learning_rate
from archsmith.training.samplers import uniform
from archsmith.training.shared import sharing

RECIPE = Recipe(lr=0.1, batch_size=16, ema=0.0, warmup=0.0)


def supernet(norm: str) -> nn.Sequential:
    """Input (B, 1, 8, 8)."""
    torch.manual_seed(0)
    layers = {
        "conv": Conv2d(4, 4, 3, padding=1, bias=False), "point": Conv2d(4, 4, 1, bias=False), "skip": nn.Identity(),
    }  # fmt: skip
    ends = [nn.Flatten(), Linear(256, 8), LayerNorm(8), nn.ReLU(), Linear(8, 4)]
    batch_norm = [BatchNorm2d(4)] if norm == "batch" else []
    return nn.Sequential(Conv2d(1, 4, 3, padding=1), *batch_norm, OneOf(layers, choice=Choice(*layers, name="op")), *ends)


def trained(norm: str, rank: int, ranks: int, steps: int) -> Any:
    model = supernet(norm)
    state = start(model, RECIPE, seed=3)
    backward = averaged(sharing(uniform(search_space(model), 2)))
    advance(state, own_part(stream(), rank, ranks), total_steps=steps, backward=backward)
    return state


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import torch
from test_ranks import joined, trained
torch.set_num_threads(1)
with joined() as (rank, ranks, device):
    assert ranks == 2 and device.type == "cpu"
    for norm, steps in (("layer", 5), ("batch", 1)):
        state = trained(norm, rank, ranks, steps)
        torch.save((state.module.state_dict(), (state.images, state.passes), state.loss_sum), f"{folder}/{{norm}}-{{rank}}.pt")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    script = place / "both.py"
    tests = Path(__file__).parent
    script.write_text(SCRIPT.format(paths=[str(tests), str(tests.parent)], folder=str(place)))
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return place


def test_two_processes_with_layer_norm_are_one_on_the_joint_batch(folder: Path) -> None:
    alone = trained("layer", 0, 1, 5)
    for rank in (0, 1):
        found, seen, loss = torch.load(folder / f"layer-{rank}.pt")
        for name, tensor in alone.module.state_dict().items():
            assert torch.allclose(tensor, found[name], atol=1e-6), name
        assert seen == (alone.images, alone.passes) == (5 * 16, 5 * 2 * 16)
        assert loss == pytest.approx(alone.loss_sum, abs=1e-5)


def test_with_batch_norm_the_gradient_is_the_mean_of_the_parts(folder: Path) -> None:
    parts = []
    for rank in (0, 1):
        model = supernet("batch")
        state = start(model, RECIPE, seed=3)
        x, y = next(own_part(iter([batch(0)]), rank, 2))
        sharing(uniform(search_space(model), 2))(state, x, y, 0.0)
        parts.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    model = supernet("batch")
    state = start(model, RECIPE, seed=3)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(RECIPE, 0.5)
    for name, parameter in model.named_parameters():
        if name in parts[0]:
            parameter.grad = (parts[0][name] + parts[1][name]) / 2
    state.optimizer.step()
    first, second = (torch.load(folder / f"batch-{rank}.pt")[0] for rank in (0, 1))
    for name, parameter in model.named_parameters():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(parameter, first[name], atol=1e-6), name


def test_alone_it_is_as_without() -> None:
    with joined() as (rank, ranks, _):
        assert (rank, ranks) == (0, 1)
    assert trained("layer", 0, 1, 2).passes == 2 * 2 * 16


def test_parts_make_up_the_batch_and_must_be_equal() -> None:
    x, y = batch(0)
    parts = [next(own_part(iter([(x, y)]), rank, 4)) for rank in range(4)]
    assert sorted(itertools.chain(*(part[1].tolist() for part in parts))) == sorted(y.tolist())
    with pytest.raises(UserError, match="16 images does not divide among 3"):
        next(own_part(iter([(x, y)]), 0, 3))
