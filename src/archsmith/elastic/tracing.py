"""The graph of a plain network: what its forward does to one example, and which line stands in the
way where it cannot be followed."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from archsmith._internal.modes import modes_kept
from archsmith.elastic.provenance import marked
from archsmith.errors import UserError, first_line

_OURS = (Path(torch.__file__).parent, Path(__file__).parent)  # not the user's lines
_BRANCH = (
    "a branch or a check rests on what is in a tensor",
    "decide by what __init__ was given, or compute both and take torch.where; a check can be "
    "torch._assert, or left out",
)
_LOOP = ("it goes over a tensor", "go over range(n) of a fixed n, or take x.unbind(dim)[i]")
_NAMES = (
    "**kwargs are handed on, and what they are is not known",
    "name the arguments, or leave them out",
)
_NUMBER = (
    "a number is made of a tensor, or of its form",
    "keep it a tensor; go over range(n) of an n that __init__ was given",
)
_ADVICE = (  # sign of an error of the tracer: what it means, what to write instead
    ("cannot be iterated", _LOOP),
    ("'len' is not supported", ("it asks for the len of a tensor", "write x.shape[0] for len(x)")),
    ("control flow", _BRANCH),
    ("__bool__", _BRANCH),
    ("interpreted as an integer", _NUMBER),
    ("argument must be a string", _NUMBER),
    ("expected np.ndarray", _NUMBER),
    (
        "item assignment",
        ("it writes into a part of a tensor", "make a new one by torch.cat or torch.where"),
    ),
)
_OTHERWISE = (
    "write forward with operations of torch on its input, without branches or loops over what "
    "depends on it, e.g. x.flatten(1) for a view by numbers"
)


class _Proxy(fx.Proxy):
    """What stands for a value; one of several parts knows how many."""

    def __len__(self) -> int:
        count = _parts(self.node)
        if count is None:
            return super().__len__()
        return count


def _parts(node: fx.Node) -> int | None:
    """How many parts `chunk` and `split` give, where they say so."""
    name = called(node)
    count = node.args[1] if len(node.args) > 1 else node.kwargs.get("chunks")
    if name == "split" and isinstance(count, list | tuple):
        return len(count)
    return count if name == "chunk" and isinstance(count, int) else None


class _Tracer(fx.Tracer):
    """Follows the first argument of forward; the others are what they are by default. A branch by
    the form of a tensor, not by what is in it, goes where it goes for the example."""

    proxy_buffer_attributes = True
    record_stack_traces = True

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self._example = example
        self._made: dict[fx.Node, Any] = {}  # what nodes give for the example
        self._running = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """As the tracer makes it."""
        return _Proxy(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """What is asked of sizes alone is answered."""
        if not _of_sizes(obj.node):
            return super().to_bool(obj)
        model: Any = self.root
        runner = fx.Interpreter(model, graph=self.graph)
        runner.extra_traceback, runner.env = False, self._made
        self._running = True
        try:
            with modes_kept(model), torch.no_grad():
                model.eval()
                for node in self.graph.nodes:
                    if node not in self._made:
                        first = node.op == "placeholder"
                        self._made[node] = self._example if first else runner.run_node(node)
        finally:
            self._running = False
        return bool(self._made[obj.node])

    def call_module(self, m: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        """Modules that run for the example are not recorded."""
        if self._running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """And have their tensors."""
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        name = list(inspect.signature(root_fn).parameters)[1]
        return root_fn, [self.root, self.create_proxy("placeholder", name.lstrip("*"), (), {})]

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The parts that `chunk` and `split` give, where they say how many."""
        if (count := _parts(obj.node)) is not None:
            return (obj[i] for i in range(count))  # type: ignore[index]
        return super().iter(obj)


def traced(model: nn.Module, example: Tensor) -> fx.Graph:
    """The graph of a network in eval mode, with the form of each tensor.

    `example`: a batch of inputs. Numbers that modules hold are `Read` in it (see `provenance`).
    Raises UserError where it cannot be followed, naming the module, the line and what to write,
    where it does not take the example, and where it uses other layers in training.
    """
    _check_signature(model)
    with modes_kept(model), _left_as_it_was(model):
        graph = _graph(model.eval(), several(example))
        learning = _graph(model.train(), several(example))
        called, others = _called_modules(graph), _called_modules(learning)
        if called != others:
            path = min(called ^ others)
            raise UserError(
                f"{type(model).__name__} uses '{path}' only in "
                f"{'training' if path in others else 'evaluation'}; leave out what is not part of "
                "the network that is shipped, e.g. auxiliary heads"
            )
        made = _answer(model.eval(), example)
        if len(several(example)) != len(example):
            made = _answer(model, several(example))
        output: Any = None
        with torch.no_grad():
            try:
                output = _Forms(fx.GraphModule(model, graph)).run(several(example))
            except Exception as error:
                raise _unlike(model, first_line(error)) from error
    if not isinstance(output, Tensor) or not _alike(output, made):
        raise _unlike(model, "what was followed gives something else than the network")
    return graph


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Takes away again what the tracer writes into a network: tensors that its forward makes."""
    before = set(vars(model))
    try:
        yield
    finally:
        for name in set(vars(model)) - before:
            del vars(model)[name]


class _Forms(fx.Interpreter):
    """Runs a graph and notes the form of each tensor, or how many a node gives."""

    extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        """As the interpreter does."""
        made = super().run_node(n)
        if isinstance(made, Tensor):
            n.meta["form"] = tuple(made.shape)
        elif isinstance(made, tuple | list):
            n.meta["count"] = len(made)
        return made


def _answer(model: nn.Module, example: Tensor) -> Tensor:
    """What a network makes of an example; UserError where that is not one tensor."""
    try:
        with torch.no_grad():
            made = model(example)
    except Exception as error:
        where = line_of_error(error)
        raise UserError(
            f"{type(model).__name__} does not take the example of form {tuple(example.shape)}: "
            f"{first_line(error)}{f' ({where})' if where else ''}"
        ) from error
    if not isinstance(made, Tensor):
        raise UserError(
            f"{type(model).__name__} gives a {type(made).__name__} ({_returned(model)}); return "
            "one tensor, e.g. by a module around it that takes the one that counts"
        )
    return made


def _alike(one: Tensor, other: Tensor) -> bool:
    """Two results of the same form and numbers, where they have such (`meta` has none)."""
    if one.shape != other.shape or one.is_meta:
        return one.shape == other.shape
    return torch.allclose(one, other, 1e-4, 1e-5, equal_nan=True)


def _unlike(model: nn.Module, why: str) -> UserError:
    return UserError(
        f"{type(model).__name__} cannot be followed: {why}; it asks what kind of thing its input "
        "is (isinstance, type), draws random numbers, or keeps something from one input to the "
        "next: leave that out of its forward"
    )


def called(node: fx.Node) -> str:
    """The name of the function or method that a node calls, in place or not."""
    if node.op not in ("call_function", "call_method"):
        return ""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name).strip("_")


def _of_sizes(node: fx.Node) -> bool:
    """Whether a node rests on the forms of tensors alone."""
    name = called(node)
    if name in ("size", "dim") or (name == "getattr" and node.args[1] in ("shape", "ndim")):
        return True
    inputs = node.all_input_nodes
    return node.op == "call_function" and bool(inputs) and all(map(_of_sizes, inputs))


def line_of(node: fx.Node) -> str:
    """Where a node was written: "model.py:12", or nothing where that is not known."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    frames = frames or re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
    own = [(file, line) for file, line in frames if not _ours(file)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def several(example: Tensor) -> Tensor:
    """A batch of more than one, so that it shows among the axes."""
    return torch.cat([example, example]) if example.dim() and len(example) == 1 else example


def _graph(model: nn.Module, example: Tensor) -> fx.Graph:
    tracer = _Tracer(example)
    try:
        with marked(model):
            return tracer.trace(model)
    except Exception as error:
        where = next(reversed(tracer.module_stack), "") if tracer.module_stack else ""
        kind = type(model.get_submodule(where)).__name__
        line, message = line_of_error(error), first_line(error)
        fallback = (message.rstrip("."), _OTHERWISE)
        what, advice = next((text for sign, text in _ADVICE if sign in message), fallback)
        if what == _LOOP[0] and re.search(r"\*\*\w", line):
            what, advice = _NAMES
        raise UserError(
            f"{type(model).__name__} cannot be followed: {what}, in "
            f"{f'{where} ({kind})' if where else kind}{f', {line}' if line else ''}; {advice}"
        ) from error


def _check_signature(model: nn.Module) -> None:
    kind = type(model).__name__
    parameters = list(inspect.signature(model.forward).parameters.values())
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    if not parameters or parameters[0].kind not in positional:
        raise UserError(
            f"{kind}.forward takes no input by position; write forward(self, x), with a name for "
            "each argument"
        )
    needed = [
        p.name
        for p in parameters[1:]
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise UserError(
            f"{kind}.forward needs {', '.join([parameters[0].name, *needed])}; only networks of "
            f"one input are followed: give {', '.join(needed)} a default, or hold it in the module"
        )


def _called_modules(graph: fx.Graph) -> set[str]:
    return {str(node.target) for node in graph.nodes if node.op == "call_module"}


def _ours(file: str) -> bool:
    path = Path(file)
    return file.startswith("<") or any(above in path.parents for above in _OURS)


def line_of_error(error: BaseException) -> str:
    """The user's line at which something went wrong: "model.py:12: if x.sum() > 0:"."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _ours(f.filename)]
    frames = [f for f in frames if "importlib" not in f.filename]
    if not frames:
        return ""
    last = frames[-1]
    return f"{Path(last.filename).name}:{last.lineno}: {last.line}".rstrip(": ")


def _returned(model: nn.Module) -> str:
    """Where the forward is written that gives what a network gives."""
    while isinstance(model, nn.Sequential) and len(model):
        model = model[-1]
    try:
        file = inspect.getsourcefile(type(model).forward) or ""
        first = inspect.getsourcelines(type(model).forward)[1]
    except (OSError, TypeError):
        return "forward"
    return f"{type(model).__name__}.forward, {Path(file).name}:{first}"
