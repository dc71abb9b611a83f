"""VKDNW (Tybl and Neumann, CVPR 2025): number of parameter tensors plus the entropy of the Fisher
information's spectrum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from archsmith.metrics.proxies.reading import Needs, Proxy, Reading

_TENSORS = 128
_SMOOTHING = 0.05


def _vkdnw(reading: Reading) -> float:
    """aleph + V: aleph parameter tensors; V = -sum q ln q over the nine deciles of the spectrum,
    normalised to sum 1.

    Fisher information F = mean over images of J' (diag(p) - p p') J (equation 4), J the Jacobian of
    the logits with respect to one weight, drawn from the reading's generator, of each of the first
    128 parameter tensors; p the softmax, smoothed by 0.05. Eval mode, Kaiming weights. Deviation
    from the released code: it multiplies J by M where M M' = diag(p) - p p'; the Fisher information
    needs M'.
    """
    named = {name: p.detach() for name, p in reading.network.named_parameters()}
    chosen = list(named)[:_TENSORS]
    places = [
        int(torch.randint(0, named[name].numel(), (1,), generator=reading.generator))
        for name in chosen
    ]
    steps = {}
    for name, place in zip(chosen, places, strict=True):
        steps[name] = torch.zeros_like(named[name]).flatten()
        steps[name][place] = 1.0
        steps[name] = steps[name].view_as(named[name])
    logits, moves = _moved(reading.network, steps, reading.batches[0][0])
    # in eval mode an image's logits rest on its own moves alone: one backward pass for each class
    # serves all images
    rows = [
        torch.autograd.grad(logits[:, k].sum(), moves, retain_graph=True)[0]
        for k in range(logits.shape[1])
    ]
    jacobian = torch.stack(rows, dim=2).double()  # (weights, B, classes)
    p = logits.detach().double().softmax(1)
    p = (1.0 - _SMOOTHING) * p + _SMOOTHING / p.shape[1]
    mean = (jacobian * p).sum(2, keepdim=True)
    fisher = torch.einsum("ibk,jbk,bk->ij", jacobian - mean, jacobian - mean, p) / len(logits)
    values = torch.linalg.eigvalsh(fisher).clamp(min=0.0)
    deciles = torch.quantile(
        values, torch.linspace(0.1, 0.9, 9, dtype=values.dtype, device=values.device)
    )
    total = float(deciles.sum())
    aleph = float(sum(1 for _ in reading.network.parameters()))
    if total <= 0:
        return aleph
    shares = [float(d) / total for d in deciles]
    return aleph - math.fsum(q * math.log(q) for q in shares if q > 0)


def _moved(network: nn.Module, steps: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """logits (B, classes), and zeros (parameters, B): how far each image's copy of a parameter goes
    along its step.

    Where a module uses a parameter, its output is moved by its own derivative along the step, which
    to first order is the same.
    """
    moves = torch.zeros(len(steps), len(x), device=x.device, requires_grad=True)
    within: dict[nn.Module, list[tuple[int, str, Tensor]]] = {}
    for position, (path, step) in enumerate(steps.items()):
        owner, _, name = path.rpartition(".")
        within.setdefault(network.get_submodule(owner), []).append((position, name, step))
    busy: set[nn.Module] = set()

    def move(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if module in busy:  # called for its own derivative
            return None
        fixed = tuple(value.detach() if isinstance(value, Tensor) else value for value in inputs)
        busy.add(module)
        try:
            for position, name, step in within[module]:
                value = module.get_parameter(name).detach()
                along = partial(_at, module=module, name=name, value=value, step=step, inputs=fixed)
                origin = torch.zeros((), device=value.device)
                derivative = jvp(along, (origin,), (torch.ones_like(origin),))[1].detach()
                output = output + moves[position].view(-1, *[1] * (output.dim() - 1)) * derivative
        finally:
            busy.discard(module)
        return output

    handles = [module.register_forward_hook(move) for module in within]
    try:
        return network(x), moves
    finally:
        for handle in handles:
            handle.remove()


def _at(
    distance: Tensor,
    *,
    module: nn.Module,
    name: str,
    value: Tensor,
    step: Tensor,
    inputs: tuple[Any, ...],
) -> Tensor:
    return functional_call(module, {name: value + distance * step}, inputs)


VKDNW = Proxy("vkdnw", _vkdnw, Needs(own=True, init="kaiming", train=False))
