"""The drawing of the network: a row for each layer, sizes that say something."""

from __future__ import annotations

import re
from typing import Any

from archsmith.report import drawing
from archsmith.report.run_record import read
from archsmith.run.records.ship import Layer


def rectangle(svg: str) -> tuple[float, float]:
    """Width and height of the slab in a row's drawing."""
    width, height = re.findall(r'<rect [^>]*width="([\d.]+)" height="([\d.]+)"', svg)[0]
    return float(width), float(height)


def test_a_row_for_each_layer_and_the_input(made: Any) -> None:
    ship = read(made().folder).shipped
    assert ship is not None
    rows = drawing.network(ship.layers)
    assert rows is not None
    assert len(rows) == len(ship.layers) + 1
    assert [row["stage"] for row in rows if row["stage"]] == [
        "input",
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "head",
    ]
    for cost in ("params_share", "macs_share"):
        assert abs(sum(row[cost] for row in rows) - 1) < 1e-9
    assert rows[1]["text"] == "3×3 convolution"


def test_slabs_follow_channels_and_image(made: Any) -> None:
    sizes = [
        rectangle(drawing.slab(shape, 64, 32))
        for shape in ([16, 32, 32], [32, 16, 16], [64, 8, 8], [64])
    ]
    assert [w for w, _ in sizes] == sorted(w for w, _ in sizes)
    assert [h for _, h in sizes] == sorted((h for _, h in sizes), reverse=True)
    assert all(0 < w <= drawing.WIDTH and 0 < h <= drawing.HEIGHT for w, h in sizes)


def test_a_smaller_image_is_marked_where_the_words_do_not_say_it() -> None:
    for words, marked in (("3x3 convolution", True), ("3x3 convolution, stride 2", False)):
        rows = drawing.network(
            [
                Layer(
                    stage="s",
                    name="a",
                    text=words,
                    inputs=(8, 8, 8),
                    out=(8, 4, 4),
                    params=1,
                    macs=1,
                )
            ]
        )
        assert rows is not None
        assert rows[1]["halved"] is marked


def test_odd_shapes_are_drawn_too() -> None:
    layer = Layer(
        stage="s", name="a", text="tokens", inputs=(8, 192), out=(8, 192), params=0, macs=0
    )
    assert drawing.network([layer]) is not None
    assert drawing.network([]) is None
