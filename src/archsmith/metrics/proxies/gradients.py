"""Scores from one gradient: grad_norm, plain, snip, grasp, fisher, and the norm of the weights
beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from archsmith.metrics.proxies.reading import Needs, Proxy, Reading


def _l2_norm(reading: Reading) -> float:
    with torch.no_grad():
        return float(sum(weight.norm().double() for weight in reading.weights))


def _grad_norm(reading: Reading) -> float:
    return float(sum(g.detach().norm().double() for g in reading.gradients() if g is not None))


def _products(reading: Reading) -> list[Tensor]:
    pairs = zip(reading.weights, reading.gradients(), strict=True)
    return [(w.detach() * g.detach()).double() for w, g in pairs if g is not None]


def _plain(reading: Reading) -> float:
    return float(sum(product.sum() for product in _products(reading)))


def _snip(reading: Reading) -> float:
    return float(sum(product.abs().sum() for product in _products(reading)))


def _grasp(reading: Reading) -> float:
    reached = [
        (w, g) for w, g in zip(reading.weights, reading.gradients(), strict=True) if g is not None
    ]
    inner = sum((g.detach() * g).sum() for _, g in reached)
    assert isinstance(inner, Tensor)
    curved = torch.autograd.grad(
        inner, [w for w, _ in reached], retain_graph=True, allow_unused=True
    )
    pairs = zip(reached, curved, strict=True)
    return float(
        sum(-(w.detach() * h).sum(dtype=torch.float64) for (w, _), h in pairs if h is not None)
    )


def _fisher(reading: Reading) -> float:
    reading.gradients()
    done, total = reading.forward(), 0.0
    for (layer, output), gradient in zip(done.outputs, done.output_gradients, strict=True):
        if gradient is None:
            continue
        product = output.detach() * gradient.detach()
        if product.dim() == 4:
            per_image = product.sum((2, 3))
        else:  # a Linear layer's channels come last; tokens are positions
            per_image = product.flatten(1, -2).sum(1) if product.dim() > 2 else product
        saliency = 0.5 * per_image.double().square().mean(0)
        total += float(saliency.sum()) * layer.weight[0].numel()  # type: ignore[index]
    return total


L2_NORM = Proxy("l2_norm", _l2_norm, Needs(batches=0))
GRAD_NORM = Proxy("grad_norm", _grad_norm, Needs(labels=True))
PLAIN = Proxy("plain", _plain, Needs(labels=True))
SNIP = Proxy("snip", _snip, Needs(labels=True))
GRASP = Proxy("grasp", _grasp, Needs(labels=True, keep=frozenset({"twice"})))
FISHER = Proxy("fisher", _fisher, Needs(labels=True, keep=frozenset({"outputs"})))
