"""The interpreter of traced functions."""
