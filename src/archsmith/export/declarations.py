"""The body of `__init__` in model.py: the layers, stage by stage."""

from __future__ import annotations

import keyword

from torch import fx, nn

from archsmith.export.code import call
from archsmith.export.spans import path_of, span_text, spans_of
from archsmith.graph.trace import Untraceable, constructor, is_chain, is_stock


def _is_list(module: nn.Module) -> bool:
    names = list(module._modules)
    return bool(names) and names == [str(i) for i in range(len(names))]


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _construction(module: nn.Module, label: str, indent: int, end: str = "") -> list[str]:
    """`label` + the expression that makes a module and everything below it + `end`, as lines;
    `indent` columns are taken."""
    if is_stock(module):
        return [label + constructor(module) + end]
    children = {name: child for name, child in module._modules.items() if child is not None}
    if _is_list(module):
        start, close = ("nn.Sequential(", ")") if is_chain(module) else ("nn.ModuleList([", "])")
        labels = {name: ("", "") for name in children}
    else:
        start, close = ("chain(" if is_chain(module) else "group("), ")"
        labels = {
            name: (f"{name}=", "") if _is_name(name) else (f'**{{"{name}": ', "}")
            for name in children
        }
    parts = [
        "\n".join(_construction(child, labels[n][0], indent + 5, labels[n][1]))
        for n, child in children.items()
    ]
    return call(label + start, parts, close + end, indent)


def declarations(network: nn.Module, graph: fx.Graph) -> list[str]:
    """The body of `__init__`, stage by stage, each under its name and shapes."""
    spans = spans_of(graph, lambda node: path_of(node).split(".")[0])
    lines: list[str] = []
    for name, child in network._modules.items():
        if child is None or (type(child) is nn.Sequential and len(child) == 0):
            continue
        if not _is_name(name):
            raise Untraceable(
                f"a child of the network is called '{name}', which cannot be an "
                f"attribute; name the stages"
            )
        container = not is_stock(child)
        if lines and (container or not lines[-1].startswith(("self.", "# "))):
            lines.append("")
        if container and name in spans:
            lines.append(f"# {span_text(spans[name])}")
        lines += _construction(child, f"self.{name} = ", 8)
        lines += _tensors(network, child, name)
    lines += _tensors(network, network, "", deep=False)
    return lines or ["pass"]


def _tensors(network: nn.Module, module: nn.Module, path: str, deep: bool = True) -> list[str]:
    """Parameters and buffers that containers hold themselves."""
    lines = []
    for below, owner in module.named_modules() if deep else [("", module)]:
        if is_stock(owner):
            continue
        full = ".".join(p for p in (path, below) if p)
        holder = access(network, full)
        for name, tensor in owner._parameters.items():
            if tensor is not None:
                lines.append(
                    f'{holder}.register_parameter("{name}", '
                    f"nn.Parameter(torch.empty({tuple(tensor.shape)})))"
                )
        for name, buffer in owner._buffers.items():
            if name in owner._non_persistent_buffers_set:
                raise Untraceable(
                    f"buffer '{name}' of {type(owner).__name__} at '{full}' is not "
                    f"part of its state_dict"
                )
            if buffer is not None:
                lines.append(
                    f'{holder}.register_buffer("{name}", '
                    f"torch.empty({tuple(buffer.shape)}, dtype={buffer.dtype}))"
                )
    return lines


def access(network: nn.Module, path: str) -> str:
    """`self.stage1[0].conv` for `stage1.0.conv`."""
    text, module = "self", network
    for name in path.split(".") if path else ():
        if name in module._modules:
            listed, module = _is_list(module) and module is not network, module._modules[name]  # type: ignore[assignment]
            text += (
                f"[{name}]"
                if listed
                else f".{name}"
                if _is_name(name)
                else f'.get_submodule("{name}")'
            )
        else:
            text += f".{name}"
    return text


def helpers_of(network: nn.Module) -> str:
    """The definitions of `chain` and `group`, where the layers need them."""
    named = [
        m for m in network.modules() if m is not network and not is_stock(m) and not _is_list(m)
    ]
    text = ""
    if any(is_chain(m) for m in named):
        text += '''

def chain(**layers: nn.Module) -> nn.Module:
    """Named layers that are called one after the other."""
    return nn.Sequential(OrderedDict(layers))
'''
    if not all(is_chain(m) for m in named):
        text += '''

def group(**layers: nn.Module) -> nn.Module:
    """Named layers that `forward` calls one by one."""
    module = nn.Module()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module
'''
    return text
