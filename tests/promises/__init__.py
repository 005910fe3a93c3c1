"""Promises that hold for every technique, in tables."""
