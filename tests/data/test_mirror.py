"""data/mirror.py and mirror_words.py: images are not mirrored where names or a short test say that
left and right matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from archsmith.data.mirror import left_and_right
from archsmith.data.mirror_words import sided
from archsmith.data.parts import Resident
from archsmith.errors import UserError


@pytest.mark.parametrize(
    "names",
    [
        ("left", "right"),
        ("turn_left", "turn_right", "stop"),
        ("TurnLeft", "TurnRight"),
        ("turnleft", "turnright"),
        ("links", "rechts"),
        ("gauche", "droite"),
        ("Izquierda", "derecha"),
        ("Höger", "vänster"),
        ("sağ", "sol"),
        ("левый", "правый"),
        ("налево", "прямо"),
        ("左折", "右折"),
        ("esquerda", "direita"),
        ("sinistra", "destra"),
        ("b", "d"),
        ("p", "q", "x"),
        ("letter_b", "letter_d"),
        ("<-", "->"),
        ("<", ">"),
        ("(", ")"),
        ("\\", "/"),
        ("←", "↑"),
        ("➡", "⬆"),
        ("👈", "👉"),
        ("↺", "↻"),
        ("clockwise", "counterclockwise"),
        ("CW", "CCW"),
        ("east", "west"),
        ("NE", "NW"),
        ("arrow-l", "arrow-r"),
        ("L", "R"),
        ("left", "up"),
        ("right", "straight"),
        ("ArrowLeft01", "none"),
        ("Linkspfeil", "Rechtspfeil"),
        ("mano derecha", "mano izquierda"),
        ("west-facing", "east-facing"),
    ],
    ids=str,
)
def test_names_of_sides_in_any_language_mean_that_left_and_right_matter(names) -> None:
    assert sided(names)


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "dog"),
        ("up", "down"),
        ("bright", "dark"),
        ("right whale", "blue whale"),
        ("copyright", "trademark"),
        ("cleft", "theft"),
        ("link", "zelda"),
        ("links", "golf"),
        ("grade B", "grade D"),
        ("l", "s", "m"),
        ("0", "1"),
        ("yes", "no"),
        ("a", "b", "c", "d"),
        ("sol", "luna"),
        ("port", "wine"),
        ("open", "closed"),
        (),
        ("der", "die"),
    ],
    ids=str,
)
def test_other_names_say_nothing_of_sides(names) -> None:
    assert not sided(names)


def parts(images: np.ndarray, labels: np.ndarray) -> tuple[Resident, Resident]:
    pixels, held = torch.from_numpy(images), 4 * len(labels) // 5
    found = [
        Resident(
            pixels,
            torch.arange(a, b),
            labels[a:b],
            [str(i) for i in range(a, b)],
            int(labels.max()) + 1,
        )
        for a, b in ((0, held), (held, len(labels)))
    ]
    return found[0], found[1]


def drawn(kinds: tuple[str, ...], count: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapes of any color, size and place over a ground of any color; (n, C, 48, 48) uint8 and
    which kind each is."""
    rng, images = np.random.default_rng(0), []
    for number in range(count):
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        ground = rng.integers(0, 256, 3) + rng.integers(-20, 20, (48, 48, 3))
        image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        length = int(rng.integers(16, 30))
        across, down = (int(rng.integers(4, 44 - length)) for _ in range(2))
        turn, half = kinds[number % len(kinds)], length // 2
        right = [
            (0, half),
            (length, half),
            (half, 0),
            (length, half),
            (half, length),
            (length, half),
        ]
        points = {
            "right": right,
            "left": [(length - x, y) for x, y in right],
            "down": [(y, x) for x, y in right],
            "up": [(y, length - x) for x, y in right],
            "square": [(0, 0), (length, 0), (length, length), (0, length), (0, 0)],
            "cross": [(0, 0), (length, length), (half, half), (length, 0), (0, length)],
        }[turn]
        ImageDraw.Draw(image).line([(across + x, down + y) for x, y in points], color, 3)
        images.append(
            np.asarray(image).transpose(2, 0, 1)
            if channels == 3
            else np.asarray(image.convert("L"))[None]
        )
    return np.stack(images), np.arange(count) % len(kinds)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "kinds", [("left", "right"), ("left", "right", "up", "down"), ("up", "left", "square", "right")]
)
def test_where_a_class_is_the_mirror_image_of_another_it_is_seen_in_the_pictures(
    kinds, channels: int
) -> None:
    found = left_and_right(
        *parts(*drawn(kinds, 240, channels)), [f"class {n}" for n in range(len(kinds))]
    )
    assert not found["suggested"] and "left and right matter" in found["why"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kinds", [("up", "down"), ("square", "cross"), ("up", "square", "cross")])
def test_where_no_class_is_the_mirror_image_of_another_images_may_be_mirrored(
    kinds, channels: int
) -> None:
    found = left_and_right(
        *parts(*drawn(kinds, 240, channels)), [f"class {n}" for n in range(len(kinds))]
    )
    assert found["suggested"], found


def test_the_side_of_a_color_is_seen_too() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(90, 110, (200, 3, 16, 16), dtype=np.uint8), np.arange(200) % 2
    for number, label in enumerate(labels):
        first, second = (0, 2) if label else (2, 0)
        images[number, first, :, :5] += 60
        images[number, second, :, 11:] += 60
    assert not left_and_right(*parts(images, labels), ("x", "y"))["suggested"]


@pytest.mark.parametrize(("asked", "expected"), [("yes", True), ("no", False)])
def test_what_is_asked_for_goes_before_names_and_test(asked: str, expected: bool) -> None:
    found = left_and_right(*parts(*drawn(("left", "right"), 20, 3)), ("left", "right"), asked=asked)
    assert found == {"suggested": expected, "why": "as asked"}


def test_names_are_believed_where_there_are_too_few_images_to_test() -> None:
    few = parts(*drawn(("left", "right"), 20, 3))
    assert left_and_right(*few, ("x", "y"))["suggested"]
    assert left_and_right(*few, ("links", "rechts"))["why"].startswith(
        "the classes 'links' and 'rechts'"
    )
    with pytest.raises(UserError, match="flip 'maybe' is not one of auto, yes, no"):
        left_and_right(*few, ("x", "y"), asked="maybe")
