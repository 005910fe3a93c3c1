"""Datasets and features of the pipeline."""
