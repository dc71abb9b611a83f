"""elastic/views.py: the mean of an image and its mirror image as a decision; it is counted, timed,
exported like any other."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archsmith._internal.user_code import execute
from archsmith.elastic import Choice, Conv2d
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import extract, search_space
from archsmith.elastic.views import NAME, decisions, once, with_views
from archsmith.export.source import source
from archsmith.graph.export import exported
from archsmith.graph.writer import Deployment, write
from archsmith.metrics.cost import LAYERS, NAMES, Costs, peak_memory
from archsmith.metrics.latency import LatencyTable
from archsmith.space import Architecture
from archsmith.spaces.convnet import convnet

SHAPE = (3, 8, 8)
AROUND = Deployment((0.5,) * 3, (0.25,) * 3)


def family(**decided: Any) -> tuple[nn.Module, Architecture]:
    """The family at 8 pixels, an architecture of it."""
    torch.manual_seed(0)
    model = convnet(5, 3, 8, mirrors=True)
    return model, search_space(model).complete(decided, Random(3))


def network(views: int) -> nn.Module:
    model, arch = family(views=views)
    return extract(model, arch, "fresh", torch.Generator().manual_seed(0)).eval()


def alone(net: nn.Module) -> nn.Sequential:
    """Without what comes before and after the network itself."""
    return nn.Sequential(*list(net.children())[1:-1])


def images(count: int) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_the_answer_is_the_mean_over_both() -> None:
    net, x = network(2), images(3)
    with torch.no_grad():
        assert torch.allclose(net(x), (alone(net)(x) + alone(net)(x.flip(3))) / 2, atol=1e-6)
        assert torch.allclose(net(x), net(x.flip(3)), atol=1e-6)


def test_once_is_the_network_itself() -> None:
    net, x = network(1), images(3)
    with torch.no_grad():
        assert torch.equal(net(x), alone(net)(x)) and not torch.allclose(
            net(x), net(x.flip(3)), atol=1e-4
        )


def test_training_looks_once() -> None:
    net, x = network(2).train(), images(4)
    seen: list[int] = []
    next(m for m in net.modules() if isinstance(m, nn.Conv2d)).register_forward_hook(
        lambda m, i, y: seen.append(len(y))
    )
    net(x)
    net.eval()(x)
    assert seen == [4, 8]


@pytest.mark.parametrize("size", [8, 32])
def test_counts_are_exact_and_tabulated(size: int) -> None:
    with torch.device("meta"):
        model = convnet(5, 3, size, mirrors=True)
    costs, space = Costs(model, (3, size, size), (*NAMES, *LAYERS)), search_space(model)
    assert costs.additive
    for seed in range(12):
        arch = space.sample(Random(seed))
        assert costs(arch) == pytest.approx(costs.exact(arch), rel=1e-12)
        assert costs(arch)["macs"] == arch[NAME] * costs.once(arch)["macs"]
        assert costs(arch)["params"] == costs.once(arch)["params"]


def test_what_adds_up_to_the_counts_knows_of_it() -> None:
    model, _ = family()
    costs, space = Costs(model, SHAPE, ("macs",)), search_space(model)
    assert costs.terms is not None
    for seed in range(12):
        arch = space.sample(Random(seed))
        assert sum(term.value(arch)["macs"] for term in costs.terms) == costs(arch)["macs"]


def test_memory_is_that_of_two_images() -> None:
    one, two = (peak_memory(network(views), SHAPE) for views in (1, 2))
    assert one < two <= 2 * one + 4 * 3 * 8 * 8


def test_blocks_take_twice_the_time() -> None:
    model, arch = family(views=2)
    table = LatencyTable(model, SHAPE)
    single = once(arch, decisions(read(model)))
    assert single[NAME] == 1 and table(arch) == pytest.approx(2 * table(single))
    terms = table.terms
    if terms is not None:
        assert sum(term.value(arch)["latency"] for term in terms) == pytest.approx(table(arch))


def test_what_adds_up_to_the_latency_knows_of_it() -> None:
    stem = nn.Sequential(Conv2d(3, Choice(4, 8, name="width"), 3), nn.ReLU())
    model = with_views(nn.Sequential(stem, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())))
    table, space = LatencyTable(model, SHAPE), search_space(model)
    terms = table.terms
    assert terms is not None and all(len(set(term.names)) == len(term.names) for term in terms)
    for arch in (space.sample(Random(seed)) for seed in range(8)):
        assert sum(term.value(arch)["latency"] for term in terms) == pytest.approx(table(arch))


def test_files_answer_like_the_network(tmp_path: Path) -> None:
    import onnxruntime

    net = network(2)
    bytes_ = (torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(2)) * 255).to(
        torch.uint8
    )
    with torch.no_grad():
        wanted = net((bytes_.float() / 255 - 0.5) / 0.25).softmax(-1).numpy()
    session = onnxruntime.InferenceSession(
        write(net, SHAPE, deployment=AROUND), providers=["CPUExecutionProvider"]
    )
    for count in (1, 5):
        found = session.run(None, {"images": bytes_[:count].numpy()})[0]
        assert np.allclose(found, wanted[:count], atol=1e-5)
    program = exported(net, SHAPE, AROUND).module()
    assert np.allclose(program(bytes_).detach().numpy(), wanted, atol=1e-5)


def test_the_generated_source_says_how_many_images_and_computes_the_same(tmp_path: Path) -> None:
    net = network(2)
    facts = {
        "title": "t",
        "summary": "s",
        "classes": list("abcde"),
        "deployment": AROUND,
        "how": "as it is",
    }
    (tmp_path / "model.py").write_text(text := source(net, SHAPE, facts))
    assert "torch.flip(" in text and "(2 N, " in text
    made = next(
        v
        for v in vars(execute(tmp_path / "model.py")).values()
        if isinstance(v, type) and issubclass(v, nn.Module)
    )()
    made.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.allclose(made.eval()(images(3)), net(images(3)), atol=1e-6)


def test_a_family_that_was_not_told_has_no_such_decision() -> None:
    space = search_space(convnet(5, 3, 8))
    assert NAME not in space and NAME in search_space(convnet(5, 3, 8, mirrors=True))


def test_other_decisions_keep_their_names_and_weights() -> None:
    plain, viewed = convnet(5, 3, 8), with_views(convnet(5, 3, 8))
    assert plain.state_dict().keys() == viewed.state_dict().keys()
    assert set(search_space(viewed)) - set(search_space(plain)) == {NAME}


def test_a_user_s_own_decision_of_that_name_is_none() -> None:
    model = nn.Sequential(
        Conv2d(3, Choice(4, 8, name=NAME), 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert decisions(read(model)) == ()
    costs = Costs(model, SHAPE, ("macs",))
    arch = Architecture({NAME: 8})
    assert costs.once(arch) == costs(arch)
