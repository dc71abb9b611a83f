"""The contract of elastic layers as a test that anybody can run on a layer of their own:
`check_layer`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import torch
from torch import nn

from archsmith.elastic.structure import TORCH_INTERNAL, read
from archsmith.elastic.supernet import active, extract
from archsmith.testing.case import Broken, Case, Inputs, require, run, tensors_of
from archsmith.testing.computed import (
    check_active,
    check_counts,
    check_gradients,
    check_largest,
    check_slices,
)
from archsmith.testing.declared import (
    check_axes,
    check_decisions,
    check_plain,
    check_state_dict,
    check_weights,
)

RULES = {
    "decisions": "it has `axes`, `weights` and `plain`, and keeps its sizes as attributes, where "
    "`search_space` finds them",
    "axes": "`axes` names each parameter, with the size along each axis (None: all of it), the "
    "largest being its length",
    "plain": "`plain` gives a new module on `meta` of the current sizes and the layer's dtype, "
    "with nothing elastic in it",
    "weights": "`weights` gives the tensors that the plain twin holds, in their shapes, open to "
    "gradients",
    "state_dict": "its state_dict has the keys and shapes of its largest twin's, beside what "
    "`axes` names as its own",
    "largest": "outside `active` it computes what its largest twin with its weights does, to the "
    "bit",
    "active": "within `active` it computes what the extracted network does",
    "slices": "what is extracted is what `axes` says: those parts of the tensors, and nothing else "
    "has a say",
    "gradients": "within `active` gradients are those of the extracted network, through `weights`",
    "counts": "parameters, MACs and memory that follow from `axes` and the sizes are those of the "
    "extracted network",
    "fresh": "it can be made on `meta`, and its twins draw their own weights by `reset_parameters`",
    "untouched": "computing and extracting leave its tensors, attributes, modes and torch's "
    "generator as they were",
    "copies": "it can be pickled and copied, and a copy computes the same with tensors of its own",
}


def check_layer(
    make: Callable[[], nn.Module],
    inputs: Inputs,
    *,
    twin: Callable[[], nn.Module] | None = None,
    architectures: int = 32,
) -> None:
    """Runs the whole contract of elastic layers (RULES) on one; AssertionError with the rule that
    it breaks, in words.

    make: the layer, anew at each call, at least one of its sizes a Choice. inputs: its sizes,
    decision name -> option, to what `forward` takes, a tensor or several. twin: what it is at its
    largest, if that is a layer of its own, such as one of torch.nn. architectures: how many of its
    sizes are tried; all where there are no more.

        check_layer(lambda: Scale(Choice(4, 8, name="width")), lambda sizes: torch.ones(2,
        sizes["width"]))
    """
    case = Case(make, inputs, twin, architectures)
    for rule, check in _CHECKS.items():
        try:
            check(case)
        except Exception as error:
            seen = (
                str(error)
                if isinstance(error, Broken)
                else (f"it raised {type(error).__name__}: {error}")
            )
            raise AssertionError(
                f"{type(case.layer).__name__} breaks the rule '{rule}': {RULES[rule]}; {seen}"
            ) from error


def _check_untouched(case: Case) -> None:
    layer = case.layer
    for training in (True, False):
        layer.train(training)
        before, state = copy.deepcopy(layer.state_dict()), torch.get_rng_state()
        attributes = _attributes(layer)
        for arch in case.architectures:
            with torch.no_grad(), active(layer, arch):
                run(layer, case.inputs(arch))
            extract(layer, arch), extract(layer, arch, "fresh")
        for name, tensor in layer.state_dict().items():
            require(
                torch.equal(tensor, before[name]),
                f"'{name}' changed in {'train' if training else 'eval'} mode",
            )
        require(torch.equal(torch.get_rng_state(), state), "torch's generator moved")
        require(layer.training is training, "it is in another mode")
        require(
            _attributes(layer) == attributes,
            f"its attributes were {attributes} and are {_attributes(layer)}",
        )


def _attributes(layer: nn.Module) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(layer).items() if name not in TORCH_INTERNAL}


def _check_fresh(case: Case) -> None:
    with torch.device("meta"):
        meta = case.make()
    for name, tensor in meta.state_dict().items():
        require(tensor.is_meta, f"'{name}' of it lies on {tensor.device}")
    for arch in case.architectures[:8]:
        networks = [
            extract(meta, arch, "fresh", torch.Generator().manual_seed(3)) for _ in range(2)
        ]
        first, second = (network.state_dict() for network in networks)
        require(
            all(torch.equal(first[name], second[name]) for name in first),
            "the same generator draws other weights",
        )
        inputs = case.inputs(arch, torch.float32)
        made, wanted = (
            run(n.eval(), inputs) for n in (networks[0], extract(case.make(), arch).eval())
        )
        same = [t.shape for t in made] == [t.shape for t in wanted]
        require(
            same,
            f"the output has another shape than with shared weights in the network {dict(arch)}",
        )


def _check_copies(case: Case) -> None:
    arch = case.space.extreme(0)
    inputs = case.inputs(arch)
    with torch.no_grad(), active(case.layer.eval(), arch):
        wanted = run(case.layer, inputs)
    for what, twin in (
        ("pickled", pickle.loads(pickle.dumps(case.layer))),
        ("copied", copy.deepcopy(case.layer)),
    ):
        require(dict(read(twin).space) == dict(case.space), f"once {what} it has other decisions")
        with torch.no_grad(), active(twin, arch):
            same = all(map(torch.equal, run(twin, inputs), wanted))
        require(same, f"once {what} it computes something else")
        own = {t.data_ptr() for t in tensors_of(case.layer).values()}
        require(
            not own & {t.data_ptr() for t in tensors_of(twin).values()},
            f"once {what} it shares tensors with the first",
        )


_CHECKS: dict[str, Callable[[Case], None]] = {
    "decisions": check_decisions,
    "axes": check_axes,
    "plain": check_plain,
    "weights": check_weights,
    "state_dict": check_state_dict,
    "largest": check_largest,
    "active": check_active,
    "slices": check_slices,
    "gradients": check_gradients,
    "counts": check_counts,
    "fresh": _check_fresh,
    "untouched": _check_untouched,
    "copies": _check_copies,
}
