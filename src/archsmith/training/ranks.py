"""Training in several processes, one for each GPU, as torchrun starts them: each takes its part of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from archsmith.errors import UserError
from archsmith.training.loop import Backward
from archsmith.training.state import TrainState


@contextmanager
def joined() -> Iterator[tuple[int, int, torch.device]]:
    """Within it this process is one of those that torchrun started: (its number, how many, its device).

    On GPUs by NCCL, else by gloo on the CPU. A process that was started alone is number 0 of 1.
    """
    ranks, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if ranks == 1:
        yield 0, 1, device
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank(), ranks, device
    finally:
        distributed.destroy_process_group()


def own_part(stream: Iterator[tuple[Tensor, Tensor]], rank: int, ranks: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each batch every `ranks`-th image from number `rank` on; together the processes see what one alone would see."""
    for x, y in stream:
        if len(x) % ranks:
            raise UserError(f"a batch of {len(x)} images does not divide among {ranks} processes; change the batch size")
        own = x[rank::ranks]
        last = torch.channels_last if own.dim() == 4 else torch.contiguous_format
        yield own.contiguous(memory_format=last), y[rank::ranks]


def averaged(backward: Backward) -> Backward:
    """For `advance(backward=...)`: the gradients, and the loss, are the mean over the processes.

    All must train the same architectures: those of a step follow from seed and step alone, so the same seed is enough. A step
    then equals that of one process on the whole batch, but for what looks at several images at once: BatchNorm sees each
    part alone, and a loss that balances classes weighs each part by itself.
    """

    def joint(state: TrainState, x: Tensor, y: Tensor, share: float) -> Tensor:
        before = state.passes
        loss = backward(state, x, y, share)
        if not distributed.is_initialized():
            return loss
        ranks = distributed.get_world_size()
        reached = [p for p in state.module.parameters() if p.grad is not None]
        flat = torch.cat([loss.reshape(1).to(torch.float32), *(p.grad.reshape(-1).float() for p in reached)])  # type: ignore[union-attr]
        distributed.all_reduce(flat)
        flat /= ranks
        place = 1
        for parameter in reached:
            assert parameter.grad is not None
            count = parameter.numel()
            parameter.grad.copy_(flat[place : place + count].view_as(parameter.grad))
            place += count
        state.passes += (ranks - 1) * (state.passes - before)  # the ledger is that of all
        state.images += (ranks - 1) * len(x)
        return flat[0]

    return joint
