"""A training-free score of one's own: a function of what one forward and backward pass leave, asked
of many networks."""

from __future__ import annotations

from random import Random
from typing import Any

import torch

import archsmith
from archsmith.metrics.proxies import named
from archsmith.metrics.proxies.reading import Needs, Proxy, Reading
from archsmith.metrics.proxies.scores import Scores
from archsmith.predictors.ranking import kendall
from archsmith.spaces import build


def balance(reading: Reading) -> float:
    """How equal the gradients of the layers are: minus the deviation of the logarithms of their
    norms. Larger is better."""
    norms = torch.stack([g.norm() for g in reading.gradients() if g is not None])
    return -float(norms.clamp_min(1e-12).log().std())


# it reads gradients of the loss, so it needs the images' classes
BALANCE = Proxy("balance", balance, Needs(labels=True))

if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    # noise here; batches of your own images rank better
    images = torch.randn(16, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 10, (16,), generator=generator)

    # on `meta`: no weights are made until a network is scored
    model = build("nats-size", classes=10, channels=3, size=16)
    space = archsmith.search_space(model)
    # both read the same passes
    scores = Scores(model, [(images, labels)], [BALANCE, named("naswot")])

    rng = Random(0)
    archs = [space.sample(rng) for _ in range(6)]
    rows: list[Any] = [scores(arch) for arch in archs]  # name -> value
    for arch, row in sorted(zip(archs, rows, strict=True), key=lambda pair: -pair[1]["balance"]):
        print(
            f"{arch.key}  balance {row['balance']:7.3f}  naswot {row['naswot']:8.2f}  "
            f"{list(arch.values())}"
        )
    agreement = kendall([row["balance"] for row in rows], [row["naswot"] for row in rows])
    print(f"Kendall's tau between the two: {agreement:.2f}")
