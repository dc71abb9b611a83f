"""Reads a plain network: its torch.fx graph with shapes, and the constructor call of each stock
layer as text."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from archsmith._internal.modes import modes_kept
from archsmith.errors import ArchsmithError, first_line

TRACED = 2  # inputs in the batch that a network is traced with
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Untraceable(ArchsmithError):
    """The network's computation cannot be written down; the message names the module and what
    stands in the way."""


class _Tracer(fx.Tracer):
    """Stops at stock torch layers, walks through everything else; `meta["inside"]` is the path of
    the module a node is in.

    With `chains` it stops at Sequentials of stock layers too: one node for a convolution with its
    norm and activation.
    """

    def __init__(self, chains: bool) -> None:
        super().__init__()
        self.chains = chains
        self.inside: list[tuple[str, nn.Module]] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_stock(m) or (self.chains and is_chain(m))

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["inside"] = self.inside[-1][0] if self.inside else ""
        return node

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append((self.path_of_module(m), m))
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()
        return result


_KEEP_SHAPE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Sigmoid,
    nn.Tanh,
)


class _Shapes(fx.Interpreter):
    """Runs the graph for its shapes; on `meta`, where torch is slow, layers that keep the shape are
    passed over."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        if (
            args
            and isinstance(args[0], Tensor)
            and args[0].is_meta
            and isinstance(self.fetch_attr(target), _KEEP_SHAPE)
        ):
            return args[0]
        return super().call_module(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["value"] = None if isinstance(result, Tensor) else result
        n.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else None
        return result


@contextmanager
def evaluation(network: nn.Module) -> Iterator[nn.Module]:
    """Within it the network is in evaluation mode; afterwards every module has its own mode
    again."""
    with modes_kept(network):
        yield network.eval()


def is_stock(module: nn.Module) -> bool:
    """Whether it is a layer of torch itself that is not a container."""
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, _CONTAINERS)


def is_chain(module: nn.Module) -> bool:
    """Whether it is a Sequential of at least one stock layer or such Sequential, and of nothing
    else."""
    return (
        type(module) is nn.Sequential
        and len(module) > 0
        and all(is_stock(child) or is_chain(child) for child in module)
    )


def trace(
    network: nn.Module, shape: tuple[int, ...], batch: int = TRACED, chains: bool = False
) -> fx.Graph:
    """The graph of a plain network (on `meta` too) in evaluation mode; `node.meta["shape"]` is each
    tensor's, with `batch`.

    shape: of one input, (C, H, W). chains: a Sequential of stock layers is one node. Raises
    Untraceable where the control flow depends on data, or a layer refuses the input.
    """
    tracer = _Tracer(chains)
    with evaluation(network), torch.no_grad():
        try:
            graph = tracer.trace(network)
        except Exception as error:
            path, module = tracer.inside[-1] if tracer.inside else ("", network)
            where = f"at '{path}'" if path else "itself"
            raise Untraceable(
                f"{type(module).__name__} {where} cannot be traced by torch.fx: {first_line(error)}"
            ) from error
        device = next(
            (p.device for p in (*network.parameters(), *network.buffers())), torch.device("cpu")
        )
        interpreter = _Shapes(fx.GraphModule(network, graph))
        interpreter.extra_traceback = False
        try:
            interpreter.run(torch.zeros(batch, *shape, device=device))
        except Exception as error:
            raise Untraceable(
                f"{type(network).__name__} does not take an input of shape {shape}: "
                f"{first_line(error)}"
            ) from error
    return graph


def constants(network: nn.Module, graph: fx.Graph) -> dict[fx.Node, Tensor]:
    """The tensors of a traced graph that no image has a part in: parameters and buffers that the
    forward reads itself, and what is computed from them alone."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            values[node] = _attribute(network, str(node.target))
        elif node.op in ("call_function", "call_method"):
            if not node.all_input_nodes or any(one not in values for one in node.all_input_nodes):
                continue
            args = fx.node.map_arg(node.args, values.__getitem__)
            kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
            with torch.no_grad():
                if node.op == "call_function":
                    values[node] = node.target(*args, **kwargs)
                else:
                    values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return {node: value.detach() for node, value in values.items() if isinstance(value, Tensor)}


def _attribute(network: nn.Module, path: str) -> Any:
    value: Any = network
    for part in path.split("."):
        value = getattr(value, part)
    return value


def constructor(module: nn.Module) -> str:
    """`nn.Conv2d(3, 16, 3, padding=1, bias=False)`: what makes a layer like this one. Raises
    Untraceable for anything unusual.

    Read off the signature: each parameter is an attribute of the same name in torch's layers;
    defaults are left out.
    """
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        raise Untraceable(f"{kind.__module__}.{kind.__name__} is not a layer of torch.nn")
    positional, keywords = [], []
    for name, parameter in inspect.signature(kind).parameters.items():
        # torch's own: how the tensors came to be
        if name in ("device", "dtype") or name.startswith("_"):
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if kind is nn.Identity:
                break
            raise Untraceable(
                f"nn.{kind.__name__} takes arguments that cannot be read back from it"
            )
        if not hasattr(module, name):
            raise Untraceable(f"nn.{kind.__name__} does not keep its argument '{name}'")
        value = _plain(name, getattr(module, name))
        required = parameter.default is parameter.empty
        if required:
            positional.append(literal(value))
        elif value != parameter.default:
            keywords.append(f"{name}={literal(value)}")
    return f"nn.{kind.__name__}({', '.join(positional + keywords)})"


# one number stands for both
_PAIRS = ("kernel_size", "stride", "padding", "output_padding", "dilation", "output_size")


def _plain(name: str, value: Any) -> Any:
    if name == "bias" and not isinstance(value, bool):
        return value is not None
    if isinstance(value, tuple | list) and value and all(isinstance(v, int) for v in value):
        alike = name in _PAIRS or (name == "normalized_shape" and len(value) == 1)
        return value[0] if alike and len(set(value)) == 1 else tuple(value)
    if value is None or isinstance(value, int | float | str | bool):
        return value
    raise Untraceable(f"argument {name}={value!r} of a layer is not a plain value")


def function_name(target: Any) -> str:
    """`torch.cat`, `F.relu`: how the source names a function of torch. Raises Untraceable for any
    other function."""
    name = getattr(target, "__name__", "")
    if getattr(torch, name, None) is target:
        return f"torch.{name}"
    if getattr(nn.functional, name, None) is target:
        return f"F.{name}"
    for space, prefix in (
        (nn.functional, "F"),
        (torch, "torch"),
        (torch.linalg, "torch.linalg"),
        (torch.special, "torch.special"),
    ):
        for known, value in vars(space).items():
            if value is target and not known.startswith("_"):
                return f"{prefix}.{known}"
    raise Untraceable(
        f"it calls {getattr(target, '__module__', '')}.{name or target}, which is "
        f"not a function of torch"
    )


def literal(value: Any) -> str:
    """`repr` with double quotes around text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def parent(path: str) -> str:
    """`stage1.block1` for `stage1.block1.conv`."""
    return path.rpartition(".")[0]
