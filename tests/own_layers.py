"""An elastic layer of somebody's own, and one for each rule of the contract that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import Choice
from archsmith.elastic.layer import Axes, sliced, width


class Scale(nn.Module):
    """(..., width) -> the same: each number times a learned one."""

    def __init__(self, count: int, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class ElasticScale(Scale):
    """The same of elastic width."""

    def __init__(self, size: Any) -> None:
        super().__init__(width(size))
        self.width = size

    def axes(self) -> Axes:
        return {"weight": (self.width,)}

    def weights(self) -> dict[str, Tensor]:
        return sliced(self)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights()["weight"]

    def plain(self) -> nn.Module:
        return Scale(width(self.width), "meta", self.weight.dtype)


class NoPlain(nn.Module):
    axes, weights = ElasticScale.axes, ElasticScale.weights

    def __init__(self, size: Choice) -> None:
        super().__init__()
        self.weight, self.width = nn.Parameter(torch.ones(width(size))), size


class Forgets(ElasticScale):
    """Its size is read once."""

    def __init__(self, size: Choice) -> None:
        super().__init__(width(size))


class Unnamed(ElasticScale):
    def axes(self) -> Axes:
        return {}


class Short(ElasticScale):
    """Its tensor is not as long as its largest size."""

    def __init__(self, size: Choice) -> None:
        super().__init__(size)
        self.weight = nn.Parameter(torch.ones(6))


class TwoAxes(ElasticScale):
    def axes(self) -> Axes:
        return {"weight": (self.width, None)}


class Closed(ElasticScale):
    """Its sizes lie where nobody looks."""

    def __init__(self, size: Choice) -> None:
        super().__init__(size)
        self.other, self.hidden = Choice(1, 2, name="other"), lambda: size
        self.width = width(size)

    def axes(self) -> Axes:
        return {"weight": (self.hidden(),)}


class Placed(ElasticScale):
    def plain(self) -> nn.Module:
        return Scale(width(self.width), dtype=self.weight.dtype)


class Itself(ElasticScale):
    def plain(self) -> nn.Module:
        return ElasticScale(self.width).to("meta", self.weight.dtype)


class Single(ElasticScale):
    def plain(self) -> nn.Module:
        return Scale(width(self.width), "meta")


class Whole(ElasticScale):
    def weights(self) -> dict[str, Tensor]:
        return {"weight": self.weight}


class Detached(ElasticScale):
    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach() for name, tensor in sliced(self).items()}


class Nothing(ElasticScale):
    def weights(self) -> dict[str, Tensor]:
        return {}


class Counting(ElasticScale):
    """A buffer that its twin does not have."""

    def __init__(self, size: Choice) -> None:
        super().__init__(size)
        self.register_buffer("seen", torch.zeros(()))


class Off(ElasticScale):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e-4


class OffWhenSmall(ElasticScale):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if x.shape[-1] == len(self.weight) else y * (1 + 1e-6)


class FromTheEnd(ElasticScale):
    def weights(self) -> dict[str, Tensor]:
        return {"weight": self.weight[-width(self.width) :]}


class Mean(ElasticScale):
    """All of its numbers have a say in each."""

    def weights(self) -> dict[str, Tensor]:
        kept = self.weight[: width(self.width)]
        return {
            "weight": kept
            if len(kept) == len(self.weight)
            else kept + 0 * kept + (self.weight.mean() > 9)
        }


class Deaf(ElasticScale):
    """It computes what it should and learns nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights()["weight"].detach()


class Again(nn.Linear):
    """(..., 8) -> the same through the matrix, `times` times."""

    def __init__(self, times: int, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(8, 8, False, device, dtype)
        self.times = times

    def forward(self, input: Tensor) -> Tensor:
        for _ in range(self.times):
            input = F.linear(input, self.weight)
        return input


class ElasticAgain(Again):
    """A layer with a weight that is applied by another decision: MACs that do not follow from the
    weight."""

    def __init__(self, size: Choice) -> None:
        super().__init__(width(size))
        self.repeats = size

    def axes(self) -> Axes:
        return {"weight": (None, None)}

    def weights(self) -> dict[str, Tensor]:
        return sliced(self)

    def forward(self, input: Tensor) -> Tensor:
        for _ in range(width(self.repeats)):
            input = F.linear(input, self.weight)
        return input

    def plain(self) -> nn.Module:
        return Again(width(self.repeats), "meta", self.weight.dtype)


class Undrawn(nn.Module):
    """A plain layer that cannot draw its weights."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class ElasticUndrawn(ElasticScale):
    def plain(self) -> nn.Module:
        return Undrawn(torch.empty(width(self.width), device="meta", dtype=self.weight.dtype))


class Remembers(ElasticScale):
    """What it saw last is kept."""

    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x.mean()
        return super().forward(x)


class Drifts(ElasticScale):
    """Its weights move by themselves in train mode."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.training and not x.requires_grad:
            with torch.no_grad():
                self.weight.data = self.weight + 1e-3
        return y


class Local(ElasticScale):
    """It holds what cannot be pickled."""

    def __init__(self, size: Choice) -> None:
        super().__init__(size)
        self.rule = lambda x: x


def _of(
    kind: Callable[[Choice], nn.Module], *options: int, name: str = "width"
) -> Callable[[], nn.Module]:
    return lambda: kind(Choice(*(options or (4, 6, 8)), name=name))


# what breaks it -> the layer, the rule, a word of what is said
BROKEN: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "no plain": (_of(NoPlain), "decisions", "no `plain`"),
    "a size that is not kept": (_of(Forgets), "decisions", "no Choice was found"),
    "a parameter without axes": (_of(Unnamed), "axes", "does not name 'weight'"),
    "a tensor shorter than its size": (_of(Short), "axes", "6 long along axis 0"),
    "axes of another shape": (_of(TwoAxes), "axes", "2 sizes for 'weight', which has 1 axes"),
    "a Choice out of sight": (_of(Closed), "axes", "no attribute of the layer"),
    "a twin with tensors": (_of(Placed), "plain", "lies on cpu"),
    "a twin that is elastic": (_of(Itself), "plain", "is elastic itself"),
    "a twin of another dtype": (_of(Single), "plain", "torch.float32"),
    "weights of the largest": (_of(Whole), "weights", r"\(8,\), of the twin \(4,\)"),
    "weights without gradients": (_of(Detached), "weights", "no gradient reaches 'weight'"),
    "no weights": (_of(Nothing), "weights", "gives no 'weight'"),
    "a buffer of its own": (_of(Counting), "state_dict", "'seen', which neither"),
    "something added": (_of(Off), "largest", "differ in eval mode"),
    "something added where it is small": (
        _of(OffWhenSmall),
        "active",
        "the output in eval mode is off",
    ),
    "the last numbers": (_of(FromTheEnd), "slices", "'weight' holds other numbers"),
    "forward without weights": (_of(Deaf), "gradients", "gradient of 'weight'"),
    "MACs of another decision": (_of(ElasticAgain, 1, 2, name="times"), "counts", "MACs"),
    "a twin that cannot draw": (_of(ElasticUndrawn), "fresh", "has no reset_parameters"),
    "a memory": (_of(Remembers), "untouched", "attributes"),
    "weights that move": (_of(Drifts), "untouched", "'weight' changed in train mode"),
    "a function inside": (_of(Local), "copies", "pickle"),
}
