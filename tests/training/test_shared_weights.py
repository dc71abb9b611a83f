"""Training shared weights: gradients of what is sampled, what stays as it was, teachers, resume to
the bit."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tiny_training import batch, stream
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith._internal.seeding import mix
from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, OneOf
from archsmith.elastic.supernet import active, extract, search_space, switching
from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.training import Recipe, advance, load, save, start
from archsmith.training.distillation import Distillation
from archsmith.training.samplers import Sampler, among, sandwich, uniform
from archsmith.training.shared_weights import shared_weights

RECIPE = Recipe(lr=0.1, batch_size=16, ema=0.0, weight_decay=0.01, warmup=0.0)


def supernet(seed: int = 0) -> nn.Sequential:
    """Input (B, 1, 8, 8): an elastic width, and two operations."""
    torch.manual_seed(seed)
    width = Choice(4, 8, name="width")
    operations = {
        "conv": nn.Sequential(Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width)),
        "skip": nn.Identity(),
        "point": nn.Sequential(Conv2d(width, width, 1, bias=False), BatchNorm2d(width)),
    }
    return nn.Sequential(
        Conv2d(1, width, 3, padding=1, bias=False),
        BatchNorm2d(width),
        nn.ReLU(),
        OneOf(operations, choice=Choice("conv", "skip", "point", name="op")),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Linear(_four(width), 4),
    )


def _four(width: Choice) -> Any:
    from archsmith.space import Derived

    return Derived(lambda w: 4 * w, width)


def arch(width: int, op: str) -> Architecture:
    return Architecture({"width": width, "op": op})


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def train(sampler: Sampler, steps: int, **settings: Any) -> Any:
    state = start(supernet(), RECIPE, seed=3)
    return advance(state, stream(), total_steps=steps, backward=shared_weights(sampler, **settings))


def test_one_step_is_that_of_the_extracted_network() -> None:
    model, wanted = supernet(), arch(8, "point")
    plain = extract(model, wanted)
    shared = start(model, RECIPE, seed=3)
    alone = start(plain, RECIPE, seed=3)
    before = tensors(model)
    advance(shared, stream(), total_steps=1, backward=shared_weights(among([wanted])))
    advance(alone, stream(), total_steps=1)
    again = extract(model, wanted)
    for (name, own), (_, other) in zip(
        again.named_parameters(), alone.module.named_parameters(), strict=True
    ):
        assert torch.allclose(own, other, atol=1e-7), name
    after = tensors(model)
    # not used: left alone
    assert all(torch.equal(before[name], after[name]) for name in before if ".conv." in name)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_what_is_not_sampled_is_left_alone_even_after_it_was_trained() -> None:
    """No decay and no momentum while a part rests: one policy, whatever was trained before."""
    model = supernet()
    state = start(model, RECIPE, seed=3)
    backward = shared_weights(lambda rng, share: [arch(8, "conv" if share < 0.5 else "point")])
    advance(state, stream(), total_steps=8, until=0.5, backward=backward)
    resting = {name: tensor for name, tensor in tensors(model).items() if ".conv." in name}
    momenta = {
        n: state.optimizer.state[p]["momentum_buffer"].clone()
        for n, p in model.named_parameters()
        if ".conv." in n
    }
    assert resting and all(float(m.abs().sum()) > 0 for m in momenta.values())
    advance(state, stream(4), total_steps=8, backward=backward)
    for name, parameter in model.named_parameters():
        if name in resting:
            assert torch.equal(parameter, resting[name])
            assert torch.equal(state.optimizer.state[parameter]["momentum_buffer"], momenta[name])


def test_the_gradient_is_the_mean_over_the_networks_of_a_step() -> None:
    archs = [arch(8, "conv"), arch(4, "point"), arch(4, "skip")]
    state = start(supernet(), RECIPE, seed=3)
    x, y = batch(0)
    loss = shared_weights(lambda rng, share: archs)(state, x, y, 0.0)
    found = {
        name: None if p.grad is None else p.grad.clone()
        for name, p in state.module.named_parameters()
    }
    model = supernet().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    losses = []
    for one in archs:
        with active(model, one):
            losses.append(F.cross_entropy(model(x), y))
    mean = torch.stack(losses).mean()
    mean.backward()
    assert float(loss) == pytest.approx(float(mean.detach()), abs=1e-6)
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (found[name] is None), name
        assert parameter.grad is None or torch.allclose(parameter.grad, found[name], atol=1e-6), (
            name
        )
    assert state.passes == 3 * len(x)


def test_it_learns_and_every_network_of_it() -> None:
    model = supernet()
    state = start(model, RECIPE, seed=3)
    advance(state, stream(), total_steps=120, backward=shared_weights(uniform(search_space(model))))
    assert state.images == state.passes == 120 * 16
    x, y = batch(999, 200)
    for one in search_space(model).architectures():
        with active(model, one), torch.no_grad():
            assert float((model(x).argmax(1) == y).float().mean()) > 0.7, one


def test_a_resumed_training_is_the_undisturbed_one(tmp_path: Path) -> None:
    space = search_space(supernet())
    for sampler in (uniform(space, 2), sandwich(space, 1)):
        straight = train(sampler, 10)
        state = start(supernet(), RECIPE, seed=3)
        advance(state, stream(), total_steps=10, until=0.4, backward=shared_weights(sampler))
        save(state, tmp_path / "half")
        resumed = load(tmp_path / "half", supernet(1))
        assert resumed.passes == state.passes > 0
        advance(resumed, stream(4), total_steps=10, backward=shared_weights(sampler))
        for (name, own), (_, other) in zip(
            straight.module.named_parameters(), resumed.module.named_parameters(), strict=True
        ):
            assert torch.equal(own, other), name


def test_a_fixed_teacher_is_followed() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    torch.nn.init.zeros_(teacher[1].weight)
    with torch.no_grad():
        teacher[1].bias.copy_(torch.tensor([0.0, 0.0, 4.0, 0.0]))  # it always says class 2
    wanted = arch(8, "skip")
    state = train(among([wanted]), 60, distillation=Distillation(teacher, weight=1.0))
    with active(state.module, wanted), torch.no_grad():
        assert float((state.module(batch(5)[0]).argmax(1) == 2).float().mean()) > 0.95
    x, y = batch(0)
    fresh = start(supernet(), RECIPE, seed=3)
    settings = Distillation(teacher, weight=0.25, temperature=2.0)
    loss = shared_weights(among([wanted]), distillation=settings)(fresh, x, y, 0.0)
    with active(fresh.module, wanted), torch.no_grad():
        logits = fresh.module(x)
        soft = (teacher(x) / 2.0).softmax(1)
        expected = (
            0.75 * F.cross_entropy(logits, y)
            + 0.25 * 4.0 * -(soft * (logits / 2.0).log_softmax(1)).sum(1).mean()
        )
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_the_largest_network_teaches_the_others_and_is_not_taught() -> None:
    model, (x, y) = supernet(), batch(0)
    state = start(model, RECIPE, seed=3)
    archs = [arch(8, "conv"), arch(4, "skip")]
    loss = shared_weights(lambda rng, share: archs, distillation=Distillation("largest"))(
        state, x, y, 0.0
    )
    gradient = {name: p.grad for name, p in model.named_parameters() if ".conv." in name}
    twin = supernet().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    with active(twin, archs[0]):
        largest = twin(x)
    first = F.cross_entropy(largest, y)
    with active(twin, archs[1]):
        second = F.cross_entropy(twin(x), largest.detach().softmax(1))
    assert float(loss) == pytest.approx(float((first + second).detach()) / 2, abs=1e-5)
    (first / 2).backward()
    for name, parameter in twin.named_parameters():
        if ".conv." in name:  # of the largest alone: no gradient comes back through what it teaches
            assert torch.allclose(parameter.grad, gradient[name], atol=1e-6), name


def test_what_a_step_trains_depends_on_seed_and_step_alone() -> None:
    seen: list[int] = []
    space = search_space(supernet())

    def spy(rng: Random, share: float) -> list[Architecture]:
        seen.append(rng.getrandbits(40))
        return [space.extreme(0)]

    train(spy, 3)
    assert seen == [Random(mix(3, "architectures", step)).getrandbits(40) for step in range(3)]


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="no architecture for step 0"):
        train(lambda rng, share: [], 1)
    with pytest.raises(UserError, match="weight=1.5"):
        Distillation("largest", weight=1.5)
    model = supernet()
    switch = switching(model)
    with (
        switch(arch(4, "skip")),
        pytest.raises(UserError, match="one architecture at a time"),
        switch(arch(8, "skip")),
    ):
        pass
    with switch(arch(8, "conv")):
        assert model[0].weight.shape[0] == 8


def test_the_ledger_counts_multiply_accumulates_of_what_was_trained() -> None:
    macs = {4: 10.0, 8: 30.0}
    both = [arch(4, "conv"), arch(8, "skip")]
    state = train(lambda rng, share: both, 3, macs=lambda a: macs[a["width"]])
    assert (
        state.macs == 3 * 3.0 * 16 * (10.0 + 30.0)
        and state.passes == 3 * 16 * 2
        and state.images == 3 * 16
    )
    assert train(lambda rng, share: both, 1).macs == 0.0
