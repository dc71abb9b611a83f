"""Every score against its own formula, written out here; what it shares with others, and that it
leaves no trace."""

from __future__ import annotations

import math
import warnings
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import Attention, BatchNorm2d, Choice, Conv2d, Linear, Repeat
from archsmith.elastic.supernet import search_space
from archsmith.errors import EvaluationFailed, UserError
from archsmith.metrics.proxies import PROXIES, named
from archsmith.metrics.proxies.az_nas import blocks
from archsmith.metrics.proxies.codes import hashed, words
from archsmith.metrics.proxies.reading import Proxy
from archsmith.metrics.proxies.scores import Scores, score_network
from archsmith.spaces.nasbench201 import nasbench201

Batches = list[tuple[Tensor, Tensor]]
SCORED = [
    name
    for name, (where, _) in PROXIES.items()
    if ".baselines:" not in where and name not in ("zico", "dss")
]


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ReLU(), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.short(x)


def plain(seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)),
        Block(6, 6, 1),
        Block(6, 10, 2),
        nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4)),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.1, 0.5, generator=generator)
    return net


def batches(count: int = 2, size: int = 12) -> Batches:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 3, 8, 8, generator=generator),
            torch.randint(0, 4, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def one(name: str, net: nn.Module, data: Batches, **settings: Any) -> float:
    return score_network(net, [named(name)], data, settings={name: settings}, strict=True)[name]


def weights(net: nn.Module) -> list[nn.Parameter]:
    return [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def grads(net: nn.Module, data: Batches, **options: Any) -> list[Tensor]:
    net.train()
    (x, y) = data[0]
    return list(torch.autograd.grad(F.cross_entropy(net(x), y), weights(net), **options))


# -- gradients -------------------------------------------------------------------------------------


def test_norms_and_products_of_gradients() -> None:
    net, data = plain(), batches()
    found, own = grads(net, data), [w.detach() for w in weights(net)]
    assert one("l2_norm", plain(), data) == pytest.approx(
        sum(float(w.norm()) for w in own), rel=1e-5
    )
    assert one("grad_norm", plain(), data) == pytest.approx(
        sum(float(g.norm()) for g in found), rel=1e-5
    )
    signed = sum(float((w * g).sum()) for w, g in zip(own, found, strict=True))
    assert one("plain", plain(), data) == pytest.approx(signed, abs=1e-5)
    assert one("snip", plain(), data) == pytest.approx(
        sum(float((w * g).abs().sum()) for w, g in zip(own, found, strict=True)), rel=1e-5
    )


def test_grasp_is_minus_weights_times_hessian_times_gradient() -> None:
    """By finite differences of the gradient along the gradient, in float64."""
    net = plain().double()
    data = [(x.double(), y) for x, y in batches()]
    own, gradient, step = weights(net), grads(net, data), 1e-5
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            for w, g in zip(own, gradient, strict=True):
                w += sign * step * g
        moved.append(grads(net, data))
        with torch.no_grad():
            for w, g in zip(own, gradient, strict=True):
                w -= sign * step * g
    curved = [(a - b) / (2 * step) for a, b in zip(*moved, strict=True)]
    expected = -sum(float((w.detach() * h).sum()) for w, h in zip(own, curved, strict=True))
    assert one("grasp", net, data) == pytest.approx(expected, rel=1e-4)


def test_fisher_of_a_small_network_by_hand() -> None:
    """Two 1 x 1 convolutions with a square between them would hide nothing: every term is written
    out with numpy."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    x, y = torch.randn(5, 2, 4, 4), torch.randint(0, 2, (5,))
    first = net[0](x).detach().requires_grad_(True)
    second = net[4](net[3](net[2](net[1](first))))
    loss = F.cross_entropy(second, y)
    da, db = torch.autograd.grad(loss, [first, second])
    conv = 0.5 * ((first * da).sum((2, 3)) ** 2).mean(0).sum() * 2  # two weights per output channel
    dense = 0.5 * ((second * db) ** 2).mean(0).sum() * 3
    assert one("fisher", net, [(x, y)]) == pytest.approx(float((conv + dense).detach()), rel=1e-5)


# -- images and codes ------------------------------------------------------------------------------


def jacobian(net: nn.Module, data: Batches) -> np.ndarray:
    net.train()
    x = data[0][0].clone().requires_grad_(True)
    (found,) = torch.autograd.grad(net(x).sum(), x)
    return found.flatten(1).double().numpy()


def test_jacob_cov_and_epe_nas() -> None:
    net, data = plain(), batches()
    rows = jacobian(net, data)
    values = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    assert one("jacob_cov", plain(), data) == pytest.approx(
        -np.sum(np.log(values) + 1 / values), rel=1e-3
    )
    labels, total = data[0][1].numpy(), 0.0
    for label in np.unique(labels):
        matrix = np.atleast_2d(np.corrcoef(rows[labels == label]))
        total += abs(np.log(np.abs(matrix) + 1e-5).sum())
    assert one("epe_nas", plain(), data) == pytest.approx(total, rel=1e-4)


def test_a_network_that_ignores_an_image_has_no_correlations() -> None:
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x * (torch.arange(len(x)) > 0).view(-1, 1, 1, 1)) * (
                torch.arange(len(x)) > 0
            ).view(-1, 1)

    with pytest.raises(EvaluationFailed, match="constant"):
        one("jacob_cov", Blind().eval(), batches())


def codes(net: nn.Module, data: Batches) -> np.ndarray:
    """(units, images) of zeros and ones, in the order of the activation functions."""
    net.train()
    kept: list[np.ndarray] = []
    hooks = [
        m.register_forward_hook(lambda _, __, out: kept.append((out > 0).flatten(1).numpy().T))
        for m in net.modules()
        if isinstance(m, nn.ReLU)
    ]
    with torch.no_grad():
        net(data[0][0])
    for hook in hooks:
        hook.remove()
    return np.concatenate(kept)


@pytest.mark.parametrize("images", [1, 3, 8, 64, 65, 130])
@pytest.mark.parametrize("units", [1, 7, 8, 500])
def test_columns_are_told_apart(images: int, units: int) -> None:
    code = torch.rand(images, units, generator=torch.Generator().manual_seed(images * units)) > 0.5
    code = torch.cat([code, code[:, : units // 2]], 1)
    different = len({tuple(column) for column in code.T.tolist()})
    assert len(set(words(code).tolist())) == different == hashed(code).unique().numel()


def test_naswot_swap_and_linear_regions() -> None:
    data = batches()
    found = codes(plain(), data).astype(float)
    kernel = found.T @ found + (1 - found).T @ (1 - found)
    assert one("naswot", plain(), data) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-6)
    assert one("swap", plain(), data) == len(np.unique(found, axis=0))
    assert one("linear_regions", plain(), data) == len(np.unique(found, axis=1).T)
    count = sum(p.numel() for p in plain().parameters())
    regular = one("swap", plain(), data, mu=count + 10.0, sigma=50.0)
    assert regular == pytest.approx(len(np.unique(found, axis=0)) * math.exp(-100 / 50))


def test_images_that_no_unit_tells_apart_make_naswot_minus_infinity() -> None:
    x, y = batches()[0]
    assert one("naswot", plain(), [(x[:1].repeat(6, 1, 1, 1), y[:6])]) == -math.inf


# -- flow ------------------------------------------------------------------------------------------


def test_synflow_by_the_formula() -> None:
    """Absolute weights in float64, no norms, an image of ones; the sum over layers of |w| * dR/dw,
    as a logarithm."""
    net = plain().double()
    own = [w.detach().abs().requires_grad_(True) for w in weights(net)]
    stem, main1, short1, main2, short2, head = own
    x = F.conv2d(torch.ones(1, 3, 8, 8, dtype=torch.float64), stem, padding=1)
    gammas = [
        m.weight.detach().abs().view(1, -1, 1, 1)
        for m in net.modules()
        if isinstance(m, nn.BatchNorm2d)
    ]
    x = x * gammas[0]
    x = F.conv2d(x, main1, padding=1) * gammas[1] + F.conv2d(x, short1)
    x = F.conv2d(x, main2, stride=2, padding=1) * gammas[2] + F.conv2d(x, short2, stride=2)
    total = F.linear(x.mean((2, 3)), head).sum()
    flow = sum(
        float((w.detach() * g).sum())
        for w, g in zip(own, torch.autograd.grad(total, own), strict=True)
    )
    assert one("synflow", plain(), batches()) == pytest.approx(math.log(flow), rel=1e-9)


def test_effective_parameters_leave_dead_branches_out() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.cut, self.norm = plain(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x + self.norm(self.cut(torch.zeros_like(x)) * 0.0))

    alive = sum(p.numel() for p in plain().parameters())
    assert one("effective_params", plain(), batches()) == alive
    assert one("effective_params", Dead(), batches()) == alive


def test_dss_sets_attention_apart() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attention, self.head = (
                nn.Conv2d(3, 4, 4, 4),
                Attention(4, 2, 2),
                nn.Linear(4, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embed(x).flatten(2).transpose(1, 2)
            return self.head(self.attention(tokens).mean(1))

    torch.manual_seed(0)
    net = Tokens()
    with pytest.raises(EvaluationFailed, match="no attention"):
        one("dss", plain(), batches())
    twin = Tokens().double()
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        for p in twin.parameters():
            p.abs_()
    layers = {n: m.weight for n, m in twin.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    found = torch.autograd.grad(
        twin(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum(), list(layers.values())
    )
    total = 0.0
    for (name, w), g in zip(layers.items(), found, strict=True):
        if name.startswith("attention"):
            nuclear = [np.linalg.svd(t.detach().numpy(), compute_uv=False).sum() for t in (g, w)]
            total += nuclear[0] * nuclear[1]
        else:
            total += float((g * w.detach()).abs().sum())
    assert one("dss", net, batches()) == pytest.approx(total, rel=1e-6)


# -- noise -----------------------------------------------------------------------------------------


def noise(net: nn.Module, data: Batches, name: str, draws: int, count: int) -> list[Tensor]:
    """The images that a score draws, caught at the network's door."""
    caught: list[Tensor] = []
    handle = net.register_forward_pre_hook(
        lambda _, inputs: caught.append(inputs[0].detach().clone())
    )
    one(name, net, data) if name != "az_nas" else score_network(net, [named(name)], data)
    handle.remove()
    assert len(caught) == draws and all(c.shape == (count, 3, 8, 8) for c in caught)
    return caught


def test_zen_by_the_formula() -> None:
    data, net = batches(), plain()
    x, moved = noise(plain(), data, "zen", 2, 12)
    assert float((moved - x).std()) == pytest.approx(0.01, rel=0.1)
    variances: list[float] = []
    features: list[Tensor] = []
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.register_forward_pre_hook(
                lambda _, i: variances.append(float(i[0].var((0, 2, 3), unbiased=False).mean()))
            )
    net[3][1].register_forward_pre_hook(lambda _, i: features.append(i[0]))
    net.train()
    with torch.no_grad():
        net(x), net(moved)
    expected = math.log(float((features[0] - features[1]).abs().flatten(1).sum(1).mean()))
    expected += sum(0.5 * math.log(v) for v in variances[:3])
    assert one("zen", plain(), data) == pytest.approx(expected, rel=1e-5)


def test_meco_sees_what_an_activation_in_place_changed() -> None:
    def net(inplace: bool) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace)),
            nn.Conv2d(6, 4, 3),
        )

    data = batches()
    assert one("meco", net(True), data) == pytest.approx(one("meco", net(False), data), abs=1e-9)


@pytest.mark.parametrize("leaves", [False, True])
def test_meco_by_the_formula(leaves: bool) -> None:
    data, net = batches(), plain()
    (image,) = noise(plain(), data, "meco", 1, 1)
    total = 0.0

    def note(m: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal total
        if out.dim() != 4 or (leaves and list(m.children())):
            return
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix = np.nan_to_num(
                np.atleast_2d(np.corrcoef(out[0].detach().flatten(1).double().numpy()))
            )
        total += np.linalg.eigvalsh(matrix)[0]

    for m in net.modules():
        m.register_forward_hook(note)
    net.train()
    net(image)
    assert one("meco", plain(), data, leaves=leaves) == pytest.approx(total, abs=1e-5)


def test_the_parts_of_az_nas() -> None:
    data, net = batches(), plain()
    (x,) = noise(plain(), data, "az_nas", 1, 12)
    found = score_network(plain(), [named("az_nas")], data)
    assert [type(b).__name__ for b in blocks(net)] == ["Block", "Block"]
    net.train()
    with torch.no_grad():
        first = net[1](net[0](x))
        second = net[2](first)
    entropies = []
    for feature in (first, second):
        rows = feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1]).double().numpy()
        values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
        shares = values / values.sum()
        entropies.append(-(shares * np.log(shares)).sum())
    assert found["az_nas.expressivity"] == pytest.approx(sum(entropies), rel=1e-4)
    assert found["az_nas.progressivity"] == pytest.approx(entropies[1] - entropies[0], rel=1e-3)
    macs = 64 * (6 * 27 + 6 * 54 + 6 * 6) + 16 * (10 * 54 + 10 * 6) + 4 * 10
    assert found["az_nas.complexity"] == macs
    assert found["az_nas.trainability"] <= 0.0  # 2 - s - 1 / s is 0 at s = 1, negative elsewhere


def test_a_block_that_is_the_identity_cannot_be_trained() -> None:
    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return x * 1.0

    net = nn.Sequential(
        Block(3, 4, 1), Nothing(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    assert score_network(net, [named("az_nas")], batches())["az_nas.trainability"] == -math.inf


# -- images one by one -----------------------------------------------------------------------------


def test_the_ntk_condition_number() -> None:
    net, data = plain().double(), [(batches()[0][0].double(), batches()[0][1])]
    net.train()
    logits = net(data[0][0])
    rows = [
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(logit.sum(), weights(net), retain_graph=True)]
        )
        for logit in logits
    ]
    values = np.linalg.eigvalsh(torch.stack(rows).numpy() @ torch.stack(rows).numpy().T)
    assert one("ntk", plain().double(), data) == pytest.approx(values[-1] / values[0], rel=1e-4)
    assert named("ntk").lower


def test_gradsign() -> None:
    net, data = plain(), batches()
    net.train()
    total = [torch.zeros_like(w) for w in weights(net)]
    for x, y in zip(*data[0], strict=True):
        loss = F.cross_entropy(net(x[None]), y[None])
        for t, g in zip(total, torch.autograd.grad(loss, weights(net)), strict=True):
            t += torch.sign(g)
    assert one("gradsign", plain(), data) == sum(float(t.abs().sum()) for t in total)


def test_vkdnw_counts_tensors_and_adds_the_entropy_of_nine_deciles() -> None:
    net, data = plain(), batches()
    tensors = len(list(net.parameters()))
    score = one("vkdnw", net, data)
    assert tensors < score <= tensors + math.log(9)


def test_vkdnw_of_one_linear_layer_by_hand() -> None:
    """With one weight and one bias, the two directions are known: which of them are drawn is found
    by trying all."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    x, y = torch.randn(6, 1, 2, 2), torch.randint(0, 3, (6,))
    found = one("vkdnw", net, [(x, y)])
    with torch.no_grad():
        p = net(x).softmax(1).double().numpy() * 0.95 + 0.05 / 3
    flat, candidates = x.flatten(1).double().numpy(), []
    for weight in range(12):
        for bias in range(3):
            jacobian = np.zeros((6, 3, 2))
            jacobian[:, weight // 4, 0] = flat[:, weight % 4]
            jacobian[:, bias, 1] = 1.0
            fisher = np.mean(
                [j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(jacobian, p, strict=True)],
                axis=0,
            )
            deciles = np.quantile(np.linalg.eigvalsh(fisher), np.linspace(0.1, 0.9, 9))
            shares = deciles / deciles.sum()
            candidates.append(2 - (shares * np.log(shares)).sum())
    assert min(abs(found - c) for c in candidates) < 1e-4


def test_wrcor_by_the_formula() -> None:
    net, data = plain(), batches()
    net.train()
    kept: list[Tensor] = []
    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.register_forward_hook(lambda _, __, out: kept.append(out))
    found = torch.autograd.grad(F.cross_entropy(net(data[0][0]), data[0][1]), kept)
    total = 0.0
    for out, gradient in zip(kept, found, strict=True):
        depth = math.log2(8 / out.shape[2])
        for rows in (out.detach(), gradient):
            total = total + 2.0**depth * np.abs(np.corrcoef(rows.flatten(1).double().numpy()))
    assert one("wrcor", plain(), data) == pytest.approx(np.linalg.slogdet(total)[1], rel=1e-5)


def test_zico_bc_takes_resolution_over_width_off() -> None:
    data = batches()
    shapes = [(8, 8, 6), (8, 8, 6), (8, 8, 6), (4, 4, 10), (4, 4, 10), (1, 1, 4)]
    correction = sum(math.log(h * w / math.sqrt(c)) for h, w, c in shapes)
    zico = score_network(plain(), [named("zico")], data)["zico"]
    assert one("zico_bc", plain(), data) == pytest.approx(zico - correction, rel=1e-9)
    assert one("zico_bc", plain(), data, beta=2.0) == pytest.approx(zico - 2 * correction, rel=1e-9)


# -- one contract ----------------------------------------------------------------------------------


class Elastic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = Choice(4, 6, name="width")
        self.stem, self.norm, self.act = (
            Conv2d(3, width, 3, padding=1),
            BatchNorm2d(width),
            nn.ReLU(),
        )
        cell = [
            nn.Sequential(
                Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width), nn.ReLU()
            )
            for _ in range(2)
        ]
        self.body = Repeat(*cell, depth=Choice(1, 2, name="depth"))
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.5), Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(
            self.drop(self.pool(self.body(self.act(self.norm(self.stem(x))))).flatten(1))
        )


def test_together_is_as_alone_and_nothing_is_left_behind() -> None:
    data, net = batches(), plain()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.eval()
    net[1].train()
    modes = [m.training for m in net.modules()]
    rng = torch.get_rng_state()
    proxies = [named(name) for name in [*SCORED, "zico"]]
    together = score_network(net, proxies, data)
    for proxy in proxies:
        for name, value in score_network(net, [proxy], data).items():
            assert together[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name
    assert torch.equal(rng, torch.get_rng_state()) and modes == [m.training for m in net.modules()]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_the_metric_does_not_depend_on_the_order_of_asking_or_on_company() -> None:
    model, data = Elastic(), batches()
    archs = list(search_space(model).architectures())
    names = ["zico", "naswot", "synflow", "zen", "grad_norm", "effective_params"]
    metric = Scores(model, data, [named(name) for name in names], repeats=2)
    forward = [metric(a) for a in archs]
    assert [metric(a) for a in reversed(archs)] == forward[::-1]
    alone = Scores(model, data, [named("naswot")], repeats=2, single=True)
    assert [alone(a) for a in archs] == [pytest.approx(f["naswot"], rel=1e-6) for f in forward]  # type: ignore[index]
    assert (
        Scores(Elastic().to("meta"), data, [named("zico")], repeats=2)(archs[0])["zico"]
        == forward[0]["zico"]
    )  # type: ignore[index]


def test_the_canonical_network_is_scored_and_once_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = Elastic(), batches()
    archs = list(search_space(model).architectures())
    rounds: list[str] = []
    whole = Scores._round
    monkeypatch.setattr(
        Scores,
        "_round",
        lambda self, arch, repeat: (rounds.append(arch.key), whole(self, arch, repeat))[1],
    )
    metric = Scores(
        model, data, [named("zico")], canonical=lambda arch: archs[arch.key == archs[-1].key]
    )
    found = [metric(a) for a in archs]
    assert rounds == [archs[0].key, archs[1].key] and len(archs) > 2
    alone = Scores(model, data, [named("zico")])
    assert found == [alone(archs[0])] * (len(archs) - 1) + [alone(archs[1])]


def test_one_image_that_leaves_batchnorm_one_pixel_is_no_score() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 4)
    )
    found = score_network(net, [named("meco"), named("snip")], batches())
    assert math.isnan(found["meco"]) and found["snip"] > 0


def test_a_network_that_no_image_gets_through_has_scores_or_none_but_breaks_nothing() -> None:
    model = nasbench201(4, 3, 8, width=4, cells=1)
    space = search_space(model)
    arch = space.check(dict.fromkeys(space, "none"))
    names = [name for name in PROXIES if ".baselines:" not in PROXIES[name][0] and name != "dss"]
    found = Scores(model, batches(), [named(name) for name in names], seed=1)(arch)
    assert {name.partition(".")[0] for name in found} == set(names)  # type: ignore[union-attr]


def test_operations_on_a_node_that_nothing_reaches_change_no_score() -> None:
    model = nasbench201(4, 3, 8, width=4, cells=1)
    space = search_space(model)
    edges = {name: "none" for name in space} | dict.fromkeys(
        ("edge0to3", "edge1to3"), "nor_conv_3x3"
    )
    # node 1 is zero, so no weight moves what the convolution behind it sees
    arch = space.check(edges)
    names = [named(name) for name in ("wrcor", "fisher", "zico", "snip")]
    found = Scores(model, batches(), names, seed=1, strict=True)(arch)
    assert all(math.isfinite(value) for value in found.values())  # type: ignore[union-attr]


def test_what_cannot_be_scored_is_nan_in_company_and_an_error_alone() -> None:
    def broken(reading: Any) -> float:
        raise EvaluationFailed("it cannot be")

    proxy = Proxy("broken", broken)
    found = score_network(plain(), [proxy, named("l2_norm")], batches())
    assert math.isnan(found["broken"]) and found["l2_norm"] > 0
    arch = search_space(Elastic()).sample(Random(0))
    with pytest.raises(EvaluationFailed, match="it cannot be"):
        Scores(Elastic(), batches(), [proxy], single=True)(arch)
    with pytest.raises(UserError, match="at least 2 batches"):
        Scores(Elastic(), batches(1), [named("zico")])
    with pytest.raises(UserError, match="did you mean 'zico'"):
        Scores(Elastic(), batches(), [named("zico")], settings={"zic": {}})
    with pytest.raises(UserError, match="no proxy 'zcio'"):
        named("zcio")


class Bare(nn.Module):
    """Nothing that most scores look at: no block, no activation, no normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("make", [plain, Bare])
def test_a_score_has_the_same_parts_of_every_network(name: str, make: Any) -> None:
    """Of one that it cannot be had of, too: whoever ranks by a part finds it there."""
    proxy = named(name)
    found = score_network(make(), [proxy], batches(), seed=1)
    assert tuple(found) == proxy.names


def test_a_round_that_fails_fails_the_mean_of_each_part() -> None:
    calls = [0]

    def score(reading: Any) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == 2:
            raise EvaluationFailed("once")
        return {"a": 1.0, "b": 2.0}

    width = Choice(2, 4, name="width")
    model = nn.Sequential(Conv2d(3, width, 3), nn.Flatten(1))
    for parts in ((), ("a", "b")):
        calls[0] = 0
        metric = Scores(model, batches(), [Proxy("own", score, parts=parts)], repeats=3)
        found = metric(search_space(model).extreme(0))
        assert {"own.a", "own.b"} <= set(found)  # type: ignore[arg-type]
        assert all(math.isnan(value) for value in found.values())  # type: ignore[union-attr]
