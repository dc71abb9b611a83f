"""What training makes small: the stock losses, and one of a user's own file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from archsmith._internal.user_code import answered, attribute_of, is_file
from archsmith.errors import UserError, shown

Loss = Literal["cross-entropy", "squared error"]
LOSSES: dict[Loss, Callable[..., Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "squared error": F.mse_loss,
}
_KIND = "loss"


def own_loss(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a user's file, "my_losses.py:focal": outputs and labels to the mean over the
    batch. UserError where it is not there, and, when it is called, for whatever it does wrong."""
    if not is_file(name):
        raise UserError(
            f"the loss {shown(name)} is no function of a file; write one and give "
            f"my_losses.py:NAME, or leave it out: the task has a loss of its own"
        )
    function = attribute_of(name, _KIND)
    if not callable(function) or isinstance(function, type):
        kind = "class" if isinstance(function, type) else type(function).__name__
        raise UserError(
            f"the loss {shown(name)} is a {kind}; give a function loss(outputs, labels)"
        )

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        with answered(f"the loss {shown(name)}"):
            return _checked(name, function(outputs, labels), outputs)

    return loss


def _checked(name: str, loss: Any, outputs: Tensor) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        form = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(
            f"the loss {shown(name)} gives {form}; it must give one number, the mean over the "
            f"batch, as a tensor"
        )
    if outputs.requires_grad and not loss.requires_grad:
        raise UserError(
            f"the loss {shown(name)} does not depend on the outputs so that they could be "
            f"learned; compute it from them by torch alone, without .item(), .detach() or argmax"
        )
    return loss.reshape(())


def check(name: str, shape: tuple[int, ...], labels: Tensor) -> None:
    """UserError where the loss is not there, or fails on outputs of a shape (B, ...) and labels as
    a task has them."""
    outputs = torch.zeros(shape).requires_grad_()
    with torch.enable_grad():
        loss = own_loss(name)(outputs, labels)
        loss.backward()
    if not torch.isfinite(loss):
        raise UserError(
            f"the loss {shown(name)} is {loss.item():g} where all outputs are 0; it must be "
            f"finite there"
        )
