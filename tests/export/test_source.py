"""The generated model.py: readable, exact, with the keys of the weights file; honest about what
cannot be written."""

from __future__ import annotations

import ast
import random
import re

import pytest
import torch
from plain_networks import Moody, Tokens, Upwards, chain, perturbed
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.export.code import WIDTH
from archsmith.export.files import safetensors_bytes
from archsmith.export.source import source
from archsmith.graph.trace import Untraceable
from archsmith.graph.writer import Deployment
from archsmith.spaces.mobilenet import mobilenet

FACTS = {
    "title": "t",
    "summary": "s",
    "how": "h",
    "classes": ["a", 'b"\\', "c", "d", "e"],
    "deployment": Deployment((0.5, 0.4, 0.3), (0.2,) * 3),
}


def run(text: str) -> dict:
    names: dict = {"__name__": "model", "__file__": "/nowhere/model.py"}
    exec(compile(text, "model.py", "exec"), names)
    return names


def agree(network: nn.Module, shape: tuple[int, ...], tmp_path) -> str:
    text = source(network, shape, FACTS)
    names = run(text)
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(safetensors_bytes(network))
    twin = names["load"](weights)
    assert list(twin.state_dict()) == list(network.state_dict())
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(twin(images), network(images))
        twin.train(), network.train()
        torch.manual_seed(0)
        left = twin(images)
        torch.manual_seed(0)
        assert torch.equal(left, network(images))
    return text


def test_a_chain_of_stages(tmp_path):
    text = agree(perturbed(chain()), (3, 16, 16), tmp_path)
    assert "# stage2.block1: (N, 8, 16, 16) -> (N, 12, 8, 8)" in text
    assert "        x = x + block.project(y)\n" in text
    assert "        return self.head(x)\n" in text
    assert max(map(len, text.splitlines())) <= 128
    assert "stage3" not in text  # empty
    assert not re.search(r"getitem|_modules|add_\d|stage\d_block|\bfx\b", text)
    assert run(text)["LABELS"] == ("a", 'b"\\', "c", "d", "e")
    imported = {
        n
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for n in (a.name for a in node.names)
    }
    assert imported == {"json", "struct", "torch"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [8, 32, 96])
def test_members_of_the_mobilenet_family(size, seed, tmp_path):
    model = mobilenet(5, 3, size)
    architecture = search_space(model).sample(random.Random(seed))
    text = agree(perturbed(extract(model, architecture, "shared")), (3, size, size), tmp_path)
    assert max(len(line) for line in text.splitlines() if "-> (" not in line) <= WIDTH + 8


def test_attention_parameters_sizes_and_functions(tmp_path):
    text = agree(perturbed(Tokens()), (3, 16, 16), tmp_path)
    assert "F.scaled_dot_product_attention(" in text
    assert "self.register_parameter" in text and "self.register_buffer" in text
    assert not re.search(r"getitem|getattr", text)


def test_group_norms_transposed_convolutions_and_embeddings(tmp_path):
    text = agree(perturbed(Upwards()), (3, 10, 8), tmp_path)
    assert (
        "nn.ConvTranspose2d(8, 6, 3, stride=(2, 1), padding=1, output_padding=(1, 0), bias=False)"
    ) in text
    assert (
        "nn.ConvTranspose2d(6, 6, 5, stride=2, padding=4, output_padding=1, groups=3, dilation=2)"
    ) in text
    assert "nn.GroupNorm(3, 6)" in text and "nn.Embedding(3, 4, padding_idx=0)" in text


class Wide(nn.Module):
    """Many values alive at once, nested sums, a layer called twice, an in-place operation, awkward
    names."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(12, 12)
        self.parts = nn.ModuleDict({"0": nn.Linear(12, 12), "plus": nn.Linear(12, 12)})
        self.out = nn.Linear(12, 5)
        self.shared = self.a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        values = [self.a(flat) * float(i + 1) for i in range(9)]
        left = self.parts["0"](values[0]) - (values[1] - (values[2] + values[3] * values[4]))
        left += self.parts["plus"](values[5]) * (values[6] - values[7]) ** 2
        first, second = (left + values[8]).chunk(2, dim=1)
        return self.out(torch.cat((second, first), 1)) / 3


def test_lifetimes_and_precedence(tmp_path):
    agree(Wide().eval(), (3, 2, 2), tmp_path)


def test_what_depends_on_the_data_is_named():
    with pytest.raises(Untraceable, match="Moody itself cannot be traced"):
        source(Moody(), (3, 8, 8), FACTS)
    nested = nn.Sequential(nn.Sequential(nn.Identity(), Moody()))
    with pytest.raises(Untraceable, match=r"Moody at '0\.1' cannot be traced"):
        source(nested, (3, 8, 8), FACTS)


def test_what_torch_does_not_have_is_named():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.LSTM(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x.flatten(1))[0]

    with pytest.raises(Untraceable, match=r"nn\.LSTM"):
        source(Odd(), (1, 2, 2), FACTS)
    with pytest.raises(Untraceable, match="does not take an input of shape"):
        source(chain(), (1, 16, 16), FACTS)
