"""Thin matrices."""
