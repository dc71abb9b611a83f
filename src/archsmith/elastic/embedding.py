"""Embedding of elastic width and number of entries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import arguments
from archsmith.elastic.layer import Axes, sliced, stock, width
from archsmith.errors import UserError
from archsmith.space import Choice, Concat, Derived, Size

_NAME = "Embedding"


class Embedding(nn.Embedding):
    """`torch.nn.Embedding(num_embeddings, embedding_dim)` where both may be a Choice or Derived,
    the width a Concat too.

    A smaller table is the first rows, or the first numbers of each. Raises UserError for what
    tables of several sizes cannot share: `max_norm` (it writes into the weights), `sparse`, a
    `padding_idx` that is not in the smallest table or counts from the end of one that has no fixed
    end.
    """

    def __init__(
        self,
        num_embeddings: Size,
        embedding_dim: Size,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        count = arguments.size(_NAME, "num_embeddings", num_embeddings)
        if isinstance(count, Concat):
            raise UserError(
                f"{_NAME}(num_embeddings={count!r}): rows are a prefix; give a number, "
                f"a Choice or a Derived"
            )
        embedding_dim = arguments.size(_NAME, "embedding_dim", embedding_dim)
        if max_norm is not None:
            raise UserError(
                f"{_NAME}(max_norm={max_norm!r}): it writes into weights that other networks "
                f"share; leave it out, or take "
                "torch.nn.Embedding where nothing is elastic"
            )
        if arguments.truth(_NAME, "sparse", sparse):
            raise UserError(
                f"{_NAME}(sparse=True): gradients of a part of a table are dense; leave it out"
            )
        shape = (width(count), width(embedding_dim))
        if _weight is not None and (
            not isinstance(_weight, Tensor) or tuple(_weight.shape) != shape
        ):
            given = (
                (f"shape {tuple(_weight.shape)}") if isinstance(_weight, Tensor) else repr(_weight)
            )
            raise UserError(
                f"{_NAME}(_weight of {given}): give a tensor {shape}, the largest table"
            )
        with arguments.building(_NAME):
            super().__init__(
                *shape,
                padding_idx=_row(padding_idx, count),
                norm_type=arguments.number(_NAME, "norm_type", norm_type),
                scale_grad_by_freq=arguments.truth(_NAME, "scale_grad_by_freq", scale_grad_by_freq),
                _weight=_weight,
                _freeze=arguments.flag(_NAME, "_freeze", _freeze),
                device=device,
                dtype=dtype,
            )
        self.count, self.width_out = count, embedding_dim

    def axes(self) -> Axes:
        """weight (entries, width)."""
        return {"weight": (self.count, self.width_out)}

    def weights(self) -> dict[str, Tensor]:
        """The table of the plain twin."""
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        """Whole numbers (...) below the number of entries -> (..., width)."""
        table = self.weights()["weight"]
        return F.embedding(
            input, table, self.padding_idx, scale_grad_by_freq=self.scale_grad_by_freq
        )

    def plain(self) -> nn.Embedding:
        """The torch layer of the current sizes, on `meta`."""
        return stock(
            nn.Embedding,
            width(self.count),
            width(self.width_out),
            self.padding_idx,
            norm_type=self.norm_type,
            scale_grad_by_freq=self.scale_grad_by_freq,
            dtype=self.weight.dtype,
        )


def _row(padding_idx: Any, count: int | Choice | Derived) -> int | None:
    """The row that stays zero, counted from the start, one of every table."""
    if padding_idx is None:
        return None
    smallest = count if isinstance(count, int) else int(min(count.options))
    fixed = isinstance(count, int) or len(set(count.options)) == 1
    row = arguments.whole(_NAME, "padding_idx", padding_idx, -smallest if fixed else 0)
    if row >= smallest:
        raise UserError(
            f"{_NAME}(padding_idx={row}): the smallest table has {smallest} rows; give "
            f"a smaller number"
        )
    return row + smallest if row < 0 else row
