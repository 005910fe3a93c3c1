"""Leaf types."""
