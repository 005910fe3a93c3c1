"""Flax NNX networks, one per file; they know nothing of compression."""
