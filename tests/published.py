"""Published weights as the package of EfficientNet-Lite0 brings them: its names and place, numbers
made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from archsmith.elastic.supernet import search_space
from archsmith.spaces import SPACES, build
from archsmith.spaces.catalog.efficientnet import STAGES

_BLOCKS = [(s, b) for s, stage in enumerate(STAGES, 1) for b in range(1, stage[1] + 1)]
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
_ENDS = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "head.7.conv": "_conv_head",
    "head.7.norm": "_bn1",
    "head.7.classifier": "_fc",
}


def published_name(ours: str) -> str | None:
    """What the package calls a tensor of ours; None for one that it has not."""
    above, _, tensor = ours.rpartition(".")
    if above in _ENDS:
        return f"{_ENDS[above]}.{tensor}"
    for number, (stage, block) in enumerate(_BLOCKS):
        for layer, (conv, norm) in _LAYERS.items():
            path = f"stages.stage{stage}.block{block}.{layer}"
            if above in (f"{path}.conv", f"{path}.norm"):
                own = conv if above.endswith("conv") else norm
                return f"_blocks.{number}.{own}.{tensor}"
    return None


def state_dict(classes: int = 1000, seed: int = 0) -> dict[str, Tensor]:
    """Weights of the whole network under the package's names, drawn by the seed."""
    torch.manual_seed(seed)
    own = build("efficientnet-lite0", classes, 3, 64, device="cpu").state_dict()
    named = {published_name(name): tensor for name, tensor in own.items()}
    return {name: tensor for name, tensor in named.items() if name is not None}


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The package in a folder from which is imported first; gives the file of the weights."""
    published = SPACES["efficientnet-lite0"].pretrained
    assert published is not None
    file = folder / published.package / published.file
    file.parent.mkdir(parents=True)
    (folder / published.package / "__init__.py").write_text('"""Weights."""\n')
    torch.save(state_dict(), file)
    patch.syspath_prepend(str(folder))
    return file


def uninstall(patch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    from archsmith.spaces.catalog import entry

    patch.setattr(entry, "find_spec", lambda package: None)


def whole_options(classes: int = 10) -> Iterator[tuple[str, int]]:
    """The decisions of the whole network."""
    space = search_space(build("efficientnet-lite0", classes, 3, 64))
    yield from dict(space.extreme(-1)).items()
