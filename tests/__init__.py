"""Tests, a folder a subject; `helpers` is what they share."""
