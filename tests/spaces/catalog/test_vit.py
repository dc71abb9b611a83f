"""AutoFormer's sub-networks as configuration and as YAML; mistakes named by their place."""

from __future__ import annotations

import pytest

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.spaces import build
from archsmith.spaces.catalog.vit import AUTOFORMER_BASE, AUTOFORMER_TINY, VIT_NANO, yaml_text

# The tiny network of TF-TAS (Zhou et al., CVPR 2022): ratios and heads of fourteen blocks.
RATIOS = [3.5, 3.5, 3.5, 4.0, 4.0, 4.0, 4.0, 3.5, 3.5, 4.0, 4.0, 3.5, 4.0, 4.0]
HEADS = [3, *13 * [4]]
YAML = "\n".join(
    [
        "SUPERNET:",
        "  MLP_RATIO: 4.0",
        "  EMBED_DIM: 256  # of the largest",
        "SEARCH_SPACE:",
        "  NUM_HEADS:",
        "    - 3",
        "    - 4",
        "RETRAIN:",
        "  MLP_RATIO:",
        *(f"    - {ratio}" for ratio in RATIOS),
        "  NUM_HEADS:",
        *(f"    - {count}" for count in HEADS),
        "  DEPTH: 14",
        "  EMBED_DIM: 240",
    ]
)
CONFIG = {"mlp_ratio": RATIOS, "num_heads": HEADS, "embed_dim": [240] * 14, "layer_num": 14}


def test_a_released_network_is_the_same_as_yaml_and_as_configuration() -> None:
    found = AUTOFORMER_TINY.read(YAML)
    assert found.form.startswith("YAML") and found.arch == AUTOFORMER_TINY.read(str(CONFIG)).arch
    assert search_space(build("autoformer-tiny", 10, 3, 32)).check(found.arch).key == found.arch.key
    assert (
        found.arch["block1.heads"] == 3
        and repr(found.arch["block4.ratio"]) == "4"
        and found.arch["embedding"] == 240
    )
    assert AUTOFORMER_TINY.read(yaml_text(found.arch)).arch == found.arch
    # as others write lists
    flow = (
        "RETRAIN:\n  MLP_RATIO: [1, 2]\n  NUM_HEADS:\n  - 4\n  - 1\n  DEPTH: 2\n  EMBED_DIM: 32\n"
    )
    assert dict(VIT_NANO.read(flow).arch) == {
        **{
            "embedding": 32,
            "depth": 2,
            "block1.heads": 4,
            "block1.ratio": 1,
            "block2.heads": 1,
            "block2.ratio": 2,
        }
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_num": 11}, "layer_num is 11; allowed are 12, 13, 14"),
        ({"num_heads": HEADS[:-1]}, "num_heads has 13 entries; a list of 14"),
        ({"num_heads": [*HEADS[:-1], 5]}, r"num_heads\[13\] is 5; allowed are 3, 4"),
        ({"mlp_ratio": [3, *RATIOS[1:]]}, r"mlp_ratio\[0\] is 3; allowed are 3.5, 4"),
        ({"mlp_ratio": 4}, "mlp_ratio is 4; a list of 14"),
        (
            {"embed_dim": [*[240] * 13, 216]},
            r"embed_dim\[13\] is 216; every network of this space "
            r"has 240",
        ),
        ({"embed_dim": [256] * 14}, "embed_dim is 256; allowed are 192, 216, 240"),
    ],
)
def test_mistakes_are_named_by_their_place(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        AUTOFORMER_TINY.read(str(CONFIG | change))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("RETRAIN:", "RETRAIN: 3\nOTHER:", "RETRAIN is 3; names and values"),
        ("  DEPTH: 14", "  DEPTH: 24", "RETRAIN.DEPTH is 24"),
        ("  DEPTH: 14", "   DEPTH: 14", "line 39 is no `NAME: value`"),
        ("  EMBED_DIM: 240", "", "RETRAIN.EMBED_DIM is None"),
    ],
)
def test_mistakes_in_yaml_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        AUTOFORMER_TINY.read(YAML.replace(old, new))


def test_another_size_is_another_space() -> None:
    with pytest.raises(
        UserError,
        match=r"EMBED_DIM is 240; allowed are 528|NUM_HEADS|DEPTH is "
        r"14|embed",
    ):
        AUTOFORMER_BASE.read(YAML)
