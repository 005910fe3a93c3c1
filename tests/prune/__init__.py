"""Masks, scores and cuts."""
