"""Flax NNX networks, one in each file; they do not depend on compression."""
