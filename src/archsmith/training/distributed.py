"""Training in several processes, one for each GPU, as torchrun starts them: the first leads, the
others take part in its steps.

The first process owns the run: its clock, draws, optimizer, checkpoints and files are those of a
run alone. For a step it sends the others the weights that moved, the architectures and each its
part of the batch; their gradients are added up. So whatever calls `advance` is spread, under a
budget of seconds as under one of steps, and a killed run is resumed as ever.
"""

from __future__ import annotations

import copy
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from archsmith._internal.onednn import sound
from archsmith._internal.seeding import mix, seeded
from archsmith._internal.user_code import PREFIX
from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.training.state import TrainState
from archsmith.training.step import Backward, Step

_PATIENCE = timedelta(days=30)  # the others wait while the first one scores, evaluates, exports
_LEAST = 2  # images for each process: BatchNorm needs more than one


@contextmanager
def joined() -> Iterator[int]:
    """Within it this process is one of those that torchrun started; gives its number, 0 for one
    that was started alone.

    On GPUs by NCCL, on the CPU by gloo. The others must `follow`; when the first one leaves, they
    are told to end.
    """
    if process_count() == 1:
        yield 0
        return
    accelerated = torch.cuda.is_available()
    if accelerated:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if accelerated else "gloo", timeout=_PATIENCE
    )
    try:
        yield distributed.get_rank()
    except SystemExit as ending:
        if not ending.code:
            _left()
        raise  # one that failed may have left in the middle of a step: torchrun ends the others
    _left()


def _left() -> None:
    if distributed.get_rank() == 0:
        _broadcast(None)
    # whoever closes its end while another still listens there aborts that one
    distributed.barrier()
    distributed.destroy_process_group()


def process_count() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def spread(backward: Backward) -> Backward:
    """The same step with the work of each batch shared among the processes; the same object where
    there is one process.

    The gradient is that of the whole batch, but for what looks at several images at once: BatchNorm
    sees each part alone, and a loss that balances classes weighs each part by itself. What is no
    `Step` (architecture parameters learn in it), and a batch too small to share, is computed by the
    first process alone.
    """
    if not distributed.is_initialized() or not isinstance(backward, Step):
        return backward
    return _Shared(backward)


@dataclass(frozen=True)
class _Order:
    """What the first process says of a step to all of them."""

    # the user's own, before a network that comes with this order; None: none comes
    files: list[str] | None
    # weights that are sent, since they moved while the first process computed alone
    behind: list[str]
    drawn: list[dict[str, Any]]  # the architectures
    # of the images and the labels of each process in turn
    shapes: list[tuple[tuple[int, ...], torch.dtype]]
    images: int
    seed: int
    kind: str  # of device

    @property
    def device(self) -> torch.device:
        """This process's own."""
        return (
            torch.device(self.kind, torch.cuda.current_device())
            if self.kind == "cuda"
            else torch.device(self.kind)
        )


class _Shared:
    """In the first process: a step whose batch is computed by all. It knows which weights the
    others have not got."""

    def __init__(self, step: Step) -> None:
        self._step, self._count = step, distributed.get_world_size()
        self._behind: list[str] | None = None  # None: the others have nothing yet

    def __call__(self, state: TrainState, x: Tensor, y: Tensor, share: float) -> Tensor:
        if state.device.type not in ("cpu", "cuda"):
            return self._step(state, x, y, share)
        drawn = self._step.draw(state, share)
        small = len(x) < _LEAST * self._count
        loss = self._step.learn(state, x, y, drawn) if small else self._together(state, x, y, drawn)
        self._step.count(state, len(x), drawn)
        if self._behind is not None:
            moved = [name for name, p in state.module.named_parameters() if p.grad is not None]
            self._behind = sorted({*self._behind, *moved})
        return loss

    def _together(
        self, state: TrainState, x: Tensor, y: Tensor, drawn: Sequence[Architecture]
    ) -> Tensor:
        count = self._count
        order = _Order(
            files=_files(state.module) if self._behind is None else None,
            behind=self._behind or [],
            drawn=[dict(arch) for arch in drawn],
            shapes=[
                (tuple(t[process::count].shape), t.dtype)
                for process in range(count)
                for t in (x, y)
            ],
            images=len(x),
            seed=mix(state.seed, "rank", state.step),
            kind=state.device.type,
        )
        _broadcast(order)
        if order.files is not None:
            _handed(state, self._step)
        _send_weights(state.module, order.behind)
        self._behind = []
        for process in range(1, count):
            for tensor in (x, y):
                distributed.send(tensor[process::count].contiguous(), process)
        loss = self._step.learn(state, _like(x, x[::count]), y[::count], drawn)
        return _summed(state.module, loss, len(x[::count]) / len(x))


def follow() -> None:
    """Takes part in the first process's steps until that one ends."""
    state: TrainState | None = None
    learn: Any = None
    while True:
        try:
            order: _Order | None = _broadcast(None)
        except RuntimeError:  # the first process is gone, and has said why
            return
        if order is None:
            return
        if order.files is not None:
            state, learn = _taken(order.files, order.device)
        assert state is not None
        _take_part(state, learn, order)


def _take_part(state: TrainState, learn: Any, order: _Order) -> None:
    """One step: this process's part of the batch."""
    number = distributed.get_rank()
    _send_weights(state.module, order.behind)
    own = order.shapes[2 * number : 2 * number + 2]
    x, y = (torch.empty(shape, dtype=dtype, device=order.device) for shape, dtype in own)
    for tensor in (x, y):
        distributed.recv(tensor, 0)
    with seeded(mix(order.seed, number), order.device), sound(state.module):
        loss = learn(state, _like(x, x), y, [Architecture(options) for options in order.drawn])
    _summed(state.module, loss, len(x) / order.images)
    state.module.zero_grad(set_to_none=True)


def _send_weights(module: nn.Module, names: Sequence[str]) -> None:
    """From the first process to the others, which call it too."""
    weights = dict(module.named_parameters())
    for name in names:
        distributed.broadcast(weights[name].data, 0)


def _like(x: Tensor, part: Tensor) -> Tensor:
    """As data streams lay images out: channels last."""
    return part.contiguous(
        memory_format=torch.channels_last if x.dim() == 4 else torch.contiguous_format
    )


def _broadcast(order: Any) -> Any:
    """What the first process says, to all."""
    box = [order]
    distributed.broadcast_object_list(box, 0, device=torch.device("cpu"))
    return box[0]


def _summed(module: nn.Module, loss: Tensor, share: float) -> Tensor:
    """Adds up the gradients of all processes, each times its share of the batch, in place; gives
    the loss of all."""
    reached = [p.grad for p in module.parameters() if p.grad is not None]
    flat = share * torch.cat(
        [loss.reshape(1).float(), *(grad.reshape(-1).float() for grad in reached)]
    )
    distributed.all_reduce(flat)
    place = 1
    for grad in reached:
        grad.copy_(flat[place : place + grad.numel()].view_as(grad))
        place += grad.numel()
    return flat[0]


def _files(module: nn.Module) -> list[str]:
    """The user's own, which a process must have run before it can read the network."""
    names = {type(part).__module__ for part in module.modules()}
    return [str(sys.modules[name].__file__) for name in sorted(names) if name.startswith(PREFIX)]


def _handed(state: TrainState, step: Step) -> None:
    """Gives the others what they need to take part: network, recipe, class weights and work."""
    weights = None if state.class_weights is None else state.class_weights.cpu()
    try:
        _broadcast((copy.deepcopy(state.module).cpu(), state.recipe, weights, step.learn))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            f"the network cannot be sent to the other processes ({error}); define what it holds at "
            f"the top of its file, or "
            "start archsmith without torchrun"
        ) from error


def _taken(files: list[str], device: torch.device) -> tuple[TrainState, Any]:
    from archsmith._internal.user_code import execute

    for file in files:
        execute(Path(file))
    module, recipe, weights, learn = _broadcast(None)
    module = module.to(device=device, memory_format=torch.channels_last).train()
    idle = torch.optim.SGD(module.parameters(), lr=0.0)  # the first process's takes the steps
    held = None if weights is None else weights.to(device)
    return TrainState(
        module, None, idle, replace(recipe, ema=0.0), seed=0, class_weights=held
    ), learn
