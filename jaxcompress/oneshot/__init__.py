"""Compression of trained networks, without data and without training."""

from jaxcompress.oneshot.tree import compress

__all__ = ["compress"]
