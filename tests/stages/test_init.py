"""--init: what is taken of given weights, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.run.request import request_from
from archsmith.spaces import build
from archsmith.spaces.layouts.once_for_all import MOBILENET_V3
from archsmith.stages.init import check, load_into
from archsmith.stages.requests import start


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))


def weights(change: Any = lambda tensor: tensor) -> dict[str, Tensor]:
    return {
        name: change(tensor + 1) if tensor.ndim > 1 else tensor
        for name, tensor in network().state_dict().items()
    }


@pytest.mark.parametrize("within", [None, "state_dict", "model_state_dict", "model"])
def test_weights_are_found_where_training_programs_put_them(
    tmp_path: Path, within: str | None
) -> None:
    given, model = weights(), network()
    torch.save(given if within is None else {within: given, "epoch": 3}, tmp_path / "w.pt")
    assert load_into(model, tmp_path / "w.pt").startswith("9 of 9 tensors")
    assert torch.equal(model.state_dict()["0.weight"], given["0.weight"])


ODD = {
    "sparse": lambda t: t.to_sparse(),
    "complex": lambda t: t.to(torch.complex64),
    "whole numbers": lambda t: t.to(torch.int8),
    "empty": lambda t: t[:0],
    "other shape": lambda t: t[None],
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_cannot_be_copied_are_left_or_refused(tmp_path: Path, kind: str) -> None:
    given, model = weights(ODD[kind]), network()
    before = model.state_dict()["0.weight"].clone()
    torch.save(given, tmp_path / "some.pt")
    torch.save({name: given[name] for name in ("0.weight", "2.weight")}, tmp_path / "none.pt")
    assert load_into(model, tmp_path / "some.pt").startswith("7 of 9 tensors")
    assert torch.equal(model.state_dict()["0.weight"], before)
    with pytest.raises(UserError, match="none of its tensors fits"):
        load_into(model, tmp_path / "none.pt")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    save_file(weights(lambda t: t + value), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"'0\.weight' holds values that are not finite"):
        load_into(network(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("given", [{}, {"a": 1}, [torch.zeros(3)], {"other": torch.zeros(3)}])
def test_weights_of_something_else_leave_no_run(tmp_path: Path, given: Any) -> None:
    torch.save(given, tmp_path / "w.pt")
    with pytest.raises(UserError, match="--init"):
        start(request_from(data="nowhere", steps=4, init=str(tmp_path / "w.pt")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_of_the_models_has_to_fit(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pt")
    check(tmp_path / "w.pt", [nn.Linear(2, 2), network()])
    with pytest.raises(UserError, match=r"the space has weight, bias"):
        check(tmp_path / "w.pt", [nn.Linear(2, 2)])


W10, W12 = "ofa-mobilenet-v3-w1.0", "ofa-mobilenet-v3-w1.2"


def published(space: str, path: Path) -> Path:
    """A file as Once-For-All names and shapes the tensors of a space of 1000 classes."""
    own = build(space, 1000, 3, 224, device="cpu").state_dict()
    given = {source.name: own[key] + 1 for key, source in MOBILENET_V3.sources.items()}
    given["feature_mix_layer.conv.weight"] = given["feature_mix_layer.conv.weight"][..., None, None]
    torch.save({"state_dict": given}, path)
    return path


def test_a_publishers_file_is_read_by_its_layout(tmp_path: Path) -> None:
    path = published(W10, tmp_path / "ofa_net")
    model = build(W10, 10, 3, 224, device="cpu")
    head = model.state_dict()["head.classifier.weight"].clone()
    assert load_into(model, path, space=W10) == (
        f"473 of 475 tensors taken from {path} (Once-For-All's layout, kernel matrices "
        f"transposed); not taken: head.classifier.weight, head.classifier.bias (1000 classes "
        f"there, 10 here: made new)"
    )
    state = model.state_dict()
    assert torch.equal(state["stage2.block3.depthwise.conv.to3"], torch.eye(9) + 1)
    assert torch.equal(state["head.classifier.weight"], head)


def test_a_publishers_file_of_another_space_is_refused_with_its_name(tmp_path: Path) -> None:
    path = published(W12, tmp_path / "ofa_net")
    check(path, [network(), build(W12, 10, 1, 32)], space=W12)
    said = f"--init {path}: it is Once-For-All's MobileNetV3, but its widths are 1.2 times as wide"
    with pytest.raises(UserError, match=f"^{said}: use --space {W12}$"):
        check(path, (build(W10, 10, channels, 224) for channels in (3, 1)), space=W10)
    with pytest.raises(UserError, match=f"{W12}$"):
        start(request_from(data="nowhere", steps=4, init=str(path), space=W10), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_half_precision_is_converted_and_said(tmp_path: Path) -> None:
    torch.save(weights(lambda t: t.bfloat16()), tmp_path / "w.pt")
    model = network()
    assert load_into(model, tmp_path / "w.pt") == (
        f"9 of 9 tensors taken from {tmp_path / 'w.pt'} (bfloat16 converted to float32)"
    )
    assert model.state_dict()["0.weight"].dtype == torch.float32


def test_what_is_left_is_said_with_its_reason(tmp_path: Path) -> None:
    given = weights() | {"0.weight": torch.ones(4, 1, 3, 3, dtype=torch.int8)}
    del given["1.bias"]
    torch.save(given | {"2.more": torch.ones(1)}, tmp_path / "w.pt")
    assert load_into(network(), tmp_path / "w.pt") == (
        f"7 of 9 tensors taken from {tmp_path / 'w.pt'}; not taken: 0.weight (int8 there, which "
        f"cannot be weights); 1.bias (not in it: made new); in the file, but not used: 2.more"
    )
