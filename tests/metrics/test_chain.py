"""A model as a chain of blocks: what each rests on, and which of them an architecture has."""

from __future__ import annotations

from random import Random

from elastic_models import sided
from torch import nn

from archsmith.elastic import Choice, Conv2d, Linear, Repeat
from archsmith.elastic.structure import read
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.chain import Block, blocks_in, chain_of, every_block


def model() -> nn.Module:
    width, kernels = Choice(4, 8, name="width"), [Choice(1, 3, name=f"kernel{i}") for i in range(3)]
    body = Repeat(
        *(
            nn.Sequential(Conv2d(width, width, kernel, padding="same"), nn.ReLU())
            for kernel in kernels
        ),
        depth=Choice(1, 2, 3, name="depth"),
    )
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(Conv2d(3, width, 3), body, head, Linear(width, 2))


def test_blocks_are_the_members_of_sequences_down_to_layers_and_know_their_decisions() -> None:
    net = model()
    found = dict(every_block(chain_of(net, read(net))))
    assert [block.path for block in found] == [
        "0",
        "1.0.0",
        "1.0.1",
        "1.1.0",
        "1.1.1",
        "1.2.0",
        "1.2.1",
        "2.0",
        "2.1",
        "3",
    ]
    by_path = {block.path: (block.names, names) for block, names in found.items()}
    assert by_path["0"] == (("width",), {"width"}) and by_path["2.0"] == ((), frozenset())
    assert by_path["1.1.0"] == (("width", "kernel1"), {"width", "kernel1", "depth"})
    assert by_path["1.2.1"] == ((), {"depth"})  # a ReLU rests on nothing, its being there does


def test_what_is_not_to_be_taken_apart_is_one_block_with_all_decisions_below_it() -> None:
    net = model()
    whole = chain_of(net, read(net), apart=lambda module: False)
    assert whole == Block("", tuple(search_space(net)))
    shallow = chain_of(net, read(net), apart=lambda module: module is net)
    assert [block.names for block, _ in every_block(shallow)][1] == tuple(
        n for n in search_space(net)
    )


def test_an_architecture_has_the_blocks_of_its_network_in_the_order_they_are_computed() -> None:
    net, rng = model(), Random(0)
    chain = chain_of(net, read(net))
    for _ in range(10):
        arch = search_space(net).sample(rng)
        plain = extract(net, arch, "fresh")
        blocks = list(blocks_in(chain, arch))
        layers = [
            path for path, module in plain.named_modules() if next(module.children(), None) is None
        ]
        assert [block.path for block in blocks] == layers and len(blocks) == 4 + 2 * arch["depth"]
        assert all(block.key(arch) == tuple(arch[name] for name in block.names) for block in blocks)


def test_images_are_resized_outside_of_the_blocks() -> None:
    net = sided()
    chain = chain_of(net, read(net))
    arch = search_space(net).extreme(-1)
    assert "resize" not in [block.path for block, _ in every_block(chain)]
    assert next(blocks_in(chain, arch)).path == "stem.0"
