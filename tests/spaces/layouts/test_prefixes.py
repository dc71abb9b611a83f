"""A user's own network and the files of its class: what stands before all names is found, left out
or put before, and said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.spaces.layouts import arranged


def features(width: int = 8) -> nn.Module:
    """Named as torchvision names MobileNetV2: features.N..., classifier.1."""
    model = nn.Module()
    layers = [nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width)) for _ in range(6)]
    model.features = nn.Sequential(*layers)
    model.classifier = nn.Sequential(nn.Dropout(), nn.Linear(width, 1000))
    return model


class Net(nn.Module):
    """With the published network within, and a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = features()
        self.backbone.classifier = nn.Identity()
        self.head = nn.Linear(8, 10)


PUBLISHED = {
    name: tensor + 1 if tensor.is_floating_point() else tensor
    for name, tensor in features().state_dict().items()
}


def with_(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in PUBLISHED.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "backbone.",
        "_orig_mod.",
        "encoder.",
        "net.",
        "module._orig_mod.",
        "mine.",
    ],
)
def test_what_stands_before_all_names_is_left_out(prefix: str) -> None:
    found = arranged(with_(prefix), features().state_dict())
    assert len(found.tensors) == len(PUBLISHED) and not found.left and not found.unused
    assert all(torch.equal(found.tensors[name], PUBLISHED[name]) for name in PUBLISHED)
    assert found.remark == f" ('{prefix}' left out)" and found.layout is None


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("", "'backbone.' put before"),
        ("module.", "'module.' read as 'backbone.'"),
        ("backbone._orig_mod.", "'backbone._orig_mod.' read as 'backbone.'"),
    ],
)
def test_what_the_own_network_has_before_its_names_is_put_before(there: str, said: str) -> None:
    found = arranged(with_(there), Net().state_dict())
    assert len(found.tensors) == len(PUBLISHED) - 2
    assert torch.equal(found.tensors["backbone.features.3.0.bias"], PUBLISHED["features.3.0.bias"])
    assert found.left == dict.fromkeys(("head.weight", "head.bias"), "not in it: made new")
    assert found.remark == (
        f" ({said}); not taken: head.weight, head.bias (not in it: made new); in the file, but "
        f"not used: {there}classifier.1.weight, {there}classifier.1.bias"
    )


def test_names_that_fit_as_they_are_stay() -> None:
    own = Net().state_dict()
    given = {name.replace("backbone.", "encoder."): tensor + 1 for name, tensor in own.items()}
    found = arranged(given, own)
    assert found.tensors.keys() == own.keys() and "'encoder.' read as 'backbone.'" in found.remark
    assert torch.equal(found.tensors["head.bias"], given["head.bias"])


def test_the_last_layer_says_how_many_classes_it_tells_apart() -> None:
    own = features()
    own.classifier[1] = nn.Linear(8, 10)
    told = arranged(with_("module."), own.state_dict()).remark
    assert told.endswith(
        "classifier.1.weight, classifier.1.bias (1000 classes there, 10 here: made new)"
    )
    own.features[2][0] = nn.Conv2d(3, 8, 5)
    assert "features.2.0.weight ((8, 3, 3, 3) there, (8, 3, 5, 5) here: made new)" in (
        arranged(PUBLISHED, own.state_dict()).remark
    )


def test_a_few_names_that_would_fit_are_no_prefix() -> None:
    other = {f"other.{i}.weight": torch.zeros(2) for i in range(9)}
    given = {**other, "other.features.0.1.weight": torch.zeros(8)}
    with pytest.raises(UserError, match=r"it has other\.0\.weight, other\.1\.weight, other\.2\.we"):
        arranged(given, features().state_dict())


def test_counts_alone_are_no_weights() -> None:
    given = {name: t if t.ndim == 0 else t[None] for name, t in PUBLISHED.items()}
    with pytest.raises(UserError, match=r"'features\.0\.0\.weight' is \(1, 8, 3, 3, 3\), the"):
        arranged(given, features().state_dict())
