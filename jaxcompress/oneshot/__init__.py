"""Compression of trained networks, without data and without training."""

from jaxcompress.oneshot._tree import compress

__all__ = ["compress"]
