"""EfficientNet-Lite0 in both of its spellings, each tensor at its place; other EfficientNets are
refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archsmith.errors import UserError
from archsmith.spaces.layouts import arranged

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# of each stage of the paper: width, blocks, kernel, expansion
STAGES = (
    (16, 1, 3, 1),
    (24, 2, 3, 6),
    (40, 2, 5, 6),
    (80, 3, 3, 6),
    (112, 3, 5, 6),
    (192, 4, 5, 6),
    (320, 1, 3, 6),
)
State = dict[str, Tensor]


def drawn(classes: int = 1000) -> list[tuple[str, str, str, Tensor]]:
    """(our key, the package's name, timm's name, tensor) of the whole network."""
    found: list[tuple[str, str, str, Tensor]] = []
    generator = torch.Generator().manual_seed(0)

    def add(ours: str, package: tuple[str, str], timm: tuple[str, str], *shape: int) -> None:
        def draw(*size: int) -> Tensor:
            return torch.rand(*size, generator=generator)

        found.append(
            (f"{ours}.conv.weight", f"{package[0]}.weight", f"{timm[0]}.weight", draw(*shape))
        )
        for name in NORM:
            tensor = torch.tensor(3) if name == NORM[-1] else draw(shape[0])
            found.append(
                (f"{ours}.norm.{name}", f"{package[1]}.{name}", f"{timm[1]}.{name}", tensor)
            )

    add("stem", ("_conv_stem", "_bn0"), ("conv_stem", "bn1"), 32, 3, 3, 3)
    inputs, number = 32, 0
    for stage, (width, depth, kernel, expansion) in enumerate(STAGES):
        for block in range(depth):
            ours = f"stages.stage{stage + 1}.block{block + 1}"
            a, b = f"_blocks.{number}", f"blocks.{stage}.{block}"
            middle, number = expansion * inputs, number + 1
            dw = (f"{b}.conv_dw", f"{b}.bn1")
            pw = (f"{b}.conv_pw", f"{b}.bn2")
            if expansion > 1:
                package = (f"{a}._expand_conv", f"{a}._bn0")
                timm = (f"{b}.conv_pw", f"{b}.bn1")
                add(f"{ours}.expand", package, timm, middle, inputs, 1, 1)
                dw, pw = (f"{b}.conv_dw", f"{b}.bn2"), (f"{b}.conv_pwl", f"{b}.bn3")
            package = (f"{a}._depthwise_conv", f"{a}._bn1")
            add(f"{ours}.depthwise", package, dw, middle, 1, kernel, kernel)
            add(f"{ours}.project", (f"{a}._project_conv", f"{a}._bn2"), pw, width, middle, 1, 1)
            inputs = width
    add("head.7", ("_conv_head", "_bn1"), ("conv_head", "bn2"), 1280, inputs, 1, 1)
    for name, shape in (("weight", (classes, 1280)), ("bias", (classes,))):
        tensor = torch.rand(*shape, generator=generator)
        found.append((f"head.7.classifier.{name}", f"_fc.{name}", f"classifier.{name}", tensor))
    return found


DRAWN = drawn()


def own(classes: int = 1000) -> State:
    """The state dict of a space that also has a classifier after an earlier stage."""
    state = {key: torch.zeros_like(tensor) for key, _, _, tensor in drawn(classes)}
    earlier = {"head.6.classifier.weight": torch.zeros(classes, 192)}
    return {**state, **earlier, "head.6.classifier.bias": torch.zeros(classes)}


@pytest.mark.parametrize(("column", "layout"), [(1, "EfficientNet-PyTorch"), (2, "timm")])
def test_each_tensor_stands_at_its_place(column: int, layout: str) -> None:
    found = arranged({row[column]: row[3] for row in DRAWN}, own(), "efficientnet-lite0")
    assert found.layout == layout and len(found.tensors) == len(DRAWN) == 296
    for key, *_, tensor in DRAWN:
        assert torch.equal(found.tensors[key], tensor), key
    assert set(found.left) == {"head.6.classifier.weight", "head.6.classifier.bias"}
    assert set(found.left.values()) == {"not in it: made new"}


@pytest.mark.parametrize("column", [1, 2])
def test_only_the_classes_may_differ(column: int) -> None:
    given = {row[column]: row[3] for row in DRAWN}
    found = arranged(given, own(7))
    assert len(found.tensors) == 294
    assert found.left["head.7.classifier.bias"] == "1000 classes there, 7 here: made new"
    name = next(row[column] for row in DRAWN if "stage3.block1.expand.conv" in row[0])
    with pytest.raises(UserError, match=f"'{name}' is .*give weights of EfficientNet-Lite0 itself"):
        arranged({**given, name: torch.zeros(288, 48, 1, 1)}, own())


@pytest.mark.parametrize(
    "name", ["_blocks.0._se_reduce.weight", "blocks.0.0.se.conv_reduce.weight"]
)
def test_efficientnet_b0_has_more_and_is_refused(name: str) -> None:
    """All other tensors of it have the same names and shapes."""
    column = 1 if name.startswith("_") else 2
    given = {row[column]: row[3] for row in DRAWN} | {name: torch.zeros(8, 32, 1, 1)}
    with pytest.raises(UserError, match=f"EfficientNet-Lite0, which has no {name}"):
        arranged(given, own())
