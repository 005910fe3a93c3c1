"""Streams of integers."""
