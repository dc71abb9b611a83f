"""Weights from elsewhere for a network of ours: whose names they bear, and what of them fits."""

from __future__ import annotations

from archsmith.spaces.layouts.arranging import Arranged, arranged, dense

__all__ = ["Arranged", "arranged", "dense"]
