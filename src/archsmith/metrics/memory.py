"""Peak memory of activations: traced on a plain module; of any architecture of a model from its
blocks, each traced once."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from archsmith.elastic.resize import inputs_of, without_resize
from archsmith.elastic.structure import Structure
from archsmith.elastic.supernet import parts
from archsmith.metrics.chain import Block, Chain, chain_of
from archsmith.space import Architecture

Shape = tuple[int, ...]
# peak bytes, output shape, whether the output is the input's storage
Traced = tuple[int, Shape, bool]
TABLE_LIMIT = 500_000  # entries of one table; then it starts anew
_ELEMENTWISE_IN_PLACE = frozenset(
    {"relu_", "hardswish_", "hardsigmoid_", "hardtanh_", "silu_", "gelu_", "sigmoid_"}
)
# that give as many numbers as they take, of the same kind
_ELEMENTWISE = frozenset({"relu", "hardswish", "hardtanh", "silu", "gelu", "sigmoid"})


def peak_memory(module: nn.Module, shape: Shape) -> int:
    """Peak bytes of live activations during eager float32 inference of one input (C, H, W), the
    input included.

    What PyTorch really keeps alive, variables of its `forward` functions included; weights and work
    space are not counted.
    """
    return traced_memory(on_meta(module), torch.empty(1, *shape, device="meta"))[0]


def on_meta(module: nn.Module) -> nn.Module:
    """The module in eval mode on `meta`; a copy, unless it is that already. No weight is copied."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(t.is_meta for t in tensors) and not any(m.training for m in module.modules()):
        return module
    memo: dict[int, Any] = {}
    for tensor in tensors:
        twin = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = (
            nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin
        )
    return copy.deepcopy(module, memo).eval()


def _quick(func: Any, args: tuple[Any, ...]) -> Any:
    """What an operation gives on `meta` where that is plain to see, None elsewhere; torch takes
    milliseconds to find out."""
    name = func.overloadpacket.__name__
    if name in _ELEMENTWISE_IN_PLACE:
        return args[0]
    if name == "_native_batch_norm_legit_no_training" or (
        name == "native_batch_norm" and args[5] is False
    ):
        none = torch.empty(0, device=args[0].device)
        return torch.empty_like(args[0]), none, none
    if name in _ELEMENTWISE or (name == "add" and _alike(args[0], args[1])):
        return torch.empty(args[0].shape, device=args[0].device) if _plain(args[0]) else None
    return _convolved(*args) if name == "convolution" else None


def _plain(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.dtype == torch.float32 and tensor.is_contiguous()


def _alike(one: Any, other: Any) -> bool:
    return _plain(one) and _plain(other) and one.shape == other.shape


def _convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, *rest: Any
) -> Tensor | None:
    """Of a convolution of images that gives any; what torch has to say of others is its own."""
    dilation, transposed, _, groups = rest
    if transposed or x.dim() != 4 or not (_plain(x) and _plain(weight)):
        return None
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    pairs = [value * (3 - len(value)) for value in (stride, padding, dilation)]  # one for both
    sides = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(x.shape[2:], weight.shape[2:], *pairs, strict=True)
    ]
    if min(sides) <= 0:
        return None
    return torch.empty(x.shape[0], weight.shape[0], *sides, device=x.device)


class Quick(TorchDispatchMode):
    """Answers for torch where `_quick` can."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = _quick(func, args)
        return func(*args, **(kwargs or {})) if result is None else result


class _Allocations(TorchDispatchMode):
    """Adds up the storages that are alive after each operation."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._seen = {
            StorageWeakRef(t.untyped_storage()).cdata
            for t in (*module.parameters(), *module.buffers())
        }
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def add(self, tensor: Tensor) -> None:
        """Counts a tensor's storage as long as it lives."""
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        if reference.cdata not in self._seen:
            self._live.setdefault(reference.cdata, (reference, storage.nbytes()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._live = {key: entry for key, entry in self._live.items() if not entry[0].expired()}
        result = _quick(func, args)
        if result is None:
            result = func(*args, **(kwargs or {}))
        for output in result if isinstance(result, tuple | list) else (result,):
            if isinstance(output, Tensor):
                self.add(output)
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result


def traced_memory(module: nn.Module, image: Tensor) -> tuple[int, Tensor]:
    """Peak bytes with the input alive throughout, and the output."""
    with torch.no_grad(), _Allocations(module) as allocations:
        allocations.add(image)
        allocations.peak = image.untyped_storage().nbytes()
        output = module(image)
    return allocations.peak, output


# -- of a model's architectures ------------------------------------------------------------------


class PeakMemory:
    """Metric of the peak bytes of one image: blocks of the model's chain are traced once per
    setting and input shape."""

    def __init__(self, model: nn.Module, shape: Shape, reading: Structure) -> None:
        self._model, self._inputs, self._reading = model, inputs_of(reading, shape), reading
        self._chain = chain_of(model, reading)
        # by a block's path: input shape, setting -> traced
        self._tables: dict[str, dict[tuple, Traced]] = defaultdict(dict)
        self._known: dict[tuple, Traced] = {}  # by what the block is, wherever it is

    def __call__(self, arch: Architecture) -> int:
        """Peak bytes of one image."""
        with ExitStack() as stack:
            # opened when a block is met that was not traced yet
            part: list[Callable[[str], tuple[nn.Module, Any]]] = []

            def block(at: Block, shape: Shape) -> Traced:
                table, key = self._tables[at.path], (shape, at.key(arch))
                if key not in table:
                    if not part:
                        part.append(stack.enter_context(parts(self._model, self._reading, arch)))
                    if len(table) >= TABLE_LIMIT:
                        table.clear()
                    twin, _ = without_resize(part[0](at.path)[0], shape)
                    table[key] = self._trace(twin, shape)
                return table[key]

            def peak_of(at: Block | Chain, shape: Shape, held: int) -> Traced:
                """With `held` bytes of callers' variables alive."""
                if isinstance(at, Block):
                    peak, output, alias = block(at, shape)
                    return peak + held, output, alias
                own = 4 * math.prod(shape)
                peak, same = own + held, True
                for member in at.present(arch):
                    # a sequence's input stays alive in its caller; it is counted already while a
                    # member works on that storage
                    inner, shape, alias = peak_of(member, shape, held if same else held + own)
                    peak, same = max(peak, inner), same and alias
                return peak, shape, same

            return peak_of(self._chain, (1, *self._inputs(arch)), 0)[0]

    def _trace(self, module: nn.Module, shape: Shape) -> Traced:
        key = (_signature(module), shape)
        if key not in self._known:
            image = torch.empty(shape, device="meta")
            peak, output = traced_memory(module, image)
            alias = output.untyped_storage()._cdata == image.untyped_storage()._cdata
            self._known[key] = (peak, tuple(output.shape), alias)
        return self._known[key]


def _signature(module: nn.Module) -> tuple:
    """What tells one plain module's memory from another's: classes, what their `extra_repr` says,
    parameter shapes."""
    return tuple(
        (
            path,
            type(part),
            part.extra_repr(),
            *(tuple(p.shape) for p in part._parameters.values() if p is not None),
        )
        for path, part in module.named_modules()
    )
