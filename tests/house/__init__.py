"""Layers, the public face, signatures, flags."""
