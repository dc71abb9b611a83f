"""The family of convolutional networks of this package: nobody else publishes networks of it."""

from __future__ import annotations

from dataclasses import replace

from archsmith.spaces.catalog.entry import Space

SPACE = Space(
    "convnet",
    "archsmith.spaces.convnet:convnet",
    "stages of inverted, fused or basic residuals or plain convolutions, pooled or not, of chosen "
    "width; `auto`",
    "8.4e+13 to 7.5e+34",
    images="images of any size, as deep as their size bears",
    ensemble="archsmith-mobile",
    hand_made=True,
    timed="pooled",
)
MOBILENET = replace(
    SPACE,
    name="mobilenet",
    network="archsmith.spaces.mobilenet:mobilenet",
    what="the same with MobileNetV3's inverted residuals alone",
    networks="5.3e+11 to 1.2e+32",
    hand_made=False,
    timed="inverted",
)
