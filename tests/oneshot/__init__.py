"""Compression without training."""
