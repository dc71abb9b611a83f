"""What holds for every publisher's table: it covers the space, comes after the network's own names,
and meets files that are torn with a message."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archsmith.errors import UserError
from archsmith.spaces import SPACES, build
from archsmith.spaces.layouts import arranged
from archsmith.spaces.layouts.arranging import LAYOUTS
from archsmith.spaces.layouts.efficientnet import TIMM
from archsmith.spaces.layouts.once_for_all import MOBILENET_V3, PROXYLESS

OFA = "ofa-mobilenet-v3-w1.0"


def test_a_table_makes_every_tensor_of_its_spaces() -> None:
    met = 0
    for layout in LAYOUTS:
        for width in layout.widths.values():
            if width.space in SPACES:
                own = build(width.space, 1000, 3, 224).state_dict()
                # where classifiers stand at several places one is the published network's
                several = any(key.startswith("head.7.") for key in own)
                assert layout.sources.keys() - own.keys() == set()
                assert several or own.keys() == layout.sources.keys()
                assert layout.varying.keys() <= own.keys() and layout.marked in own
                met += 1
    assert met >= 3


def test_names_of_the_network_itself_come_first() -> None:
    """A user's own network of timm's class."""
    own = {source.name: torch.zeros(4) for source in TIMM.sources.values()}
    found = arranged({f"model.{name}": tensor + 1 for name, tensor in own.items()}, own)
    assert found.layout is None and len(found.tensors) == len(own) and not found.left


def given(layout: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A file of zeros and the state dict of its space."""
    if layout == "mobilenet":
        own = build(OFA, 1000, 3, 224).state_dict()
        file = {s.name: torch.zeros(own[key].shape) for key, s in MOBILENET_V3.sources.items()}
        return {n: t[..., None, None] if "feature_mix" in n else t for n, t in file.items()}, own
    own = build("proxyless", 1000, 3, 224).state_dict()
    # six blocks are made of one, which has the sizes of the last of them
    return {s.name: torch.zeros(own[key].shape) for key, s in PROXYLESS.sources.items()}, own


TORN = [
    ("mobilenet", "blocks.3.conv.depth_conv.conv.7to5_matrix", torch.zeros(5, 5, 5)),
    ("mobilenet", "feature_mix_layer.conv.weight", torch.zeros(7)),
    ("proxyless", "blocks.3.conv.depth_conv.conv.weight", torch.zeros(())),
    ("proxyless", "blocks.3.conv.depth_conv.bn.running_var", torch.zeros(())),
    ("proxyless", "blocks.3.conv.point_linear.conv.weight", torch.zeros(3)),
    ("proxyless", "blocks.3.conv.depth_conv.conv.7to5_matrix", torch.zeros(3)),
]


@pytest.mark.parametrize(("layout", "name", "tensor"), TORN)
def test_a_tensor_of_another_form_is_named(layout: str, name: str, tensor: Tensor) -> None:
    file, own = given(layout)
    assert arranged(file, own).layout == "Once-For-All"
    with pytest.raises(UserError, match="^'(blocks.3.conv|feature_mix).*' is .*; th"):
        arranged({**file, name: tensor}, own)


def test_counts_that_are_no_whole_numbers_are_left() -> None:
    file, own = given("mobilenet")
    found = arranged(file, own)  # all of it in floating point
    counts = {key for key in own if key.endswith("num_batches_tracked")}
    assert found.left.keys() == counts and len(found.tensors) == 475 - len(counts)
    assert set(found.left.values()) == {"float32 there, which cannot be a count"}
