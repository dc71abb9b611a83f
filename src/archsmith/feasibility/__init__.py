"""Architectures that keep the limits: how far one is from them, the way back, and draws among those
that fit."""
