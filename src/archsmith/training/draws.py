"""From architecture parameters to the weights of a mixture, as each gradient method draws them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from archsmith._internal.seeding import seeded


def softmax(alpha: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, None]:
    """All options, by the softmax (DARTS: Liu, Simonyan and Yang, ICLR 2019, equation 2)."""
    return alpha.softmax(0), None


def concrete(alpha: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, None]:
    """All options, by a sample of the concrete distribution (SNAS: Xie and others, ICLR 2019,
    equation 5).

    The temperature falls from 1 to 0.03 geometrically.
    """
    return ((alpha.log_softmax(0) + _gumbel(alpha, generator)) / 0.03**share).softmax(0), None


def hard(alpha: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, tuple[int, ...]]:
    """One sampled option, computed alone; gradients flow as if by the softened sample (GDAS: Dong
    and Yang, CVPR 2019, eq. 4).

    The temperature falls from 10 to 0.1 linearly, as in the released code. Options that were not
    sampled are felt through the softmax only.
    """
    soft = (
        (alpha.log_softmax(0) + _gumbel(alpha, generator)) / (10.0 + (0.1 - 10.0) * share)
    ).softmax(0)
    taken = int(soft.argmax())
    return F.one_hot(soft.argmax(), len(alpha)) - soft.detach() + soft, (taken,)


def dirichlet(alpha: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, None]:
    """All options, by a sample of Dirichlet(elu(alpha) + 1) (DrNAS: Chen and others, ICLR 2021,
    section 3.1)."""
    # its sampler takes no generator
    with seeded(int(torch.randint(2**62, (), generator=generator)), alpha.device):
        return torch.distributions.Dirichlet(F.elu(alpha) + 1.0).rsample(), None


def _gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(like.shape, generator=generator).clamp_(1e-10, 1.0 - 1e-7)
    return -(-uniform.log()).log().to(like.device)


def near_uniform(alpha: Tensor) -> Tensor:
    """KL divergence of Dirichlet(elu(alpha) + 1) from the uniform Dirichlet (DrNAS, equation 6 and
    released code)."""
    beta = F.elu(alpha) + 1.0
    one = torch.ones_like(beta)
    return torch.distributions.kl_divergence(
        torch.distributions.Dirichlet(beta), torch.distributions.Dirichlet(one)
    )
