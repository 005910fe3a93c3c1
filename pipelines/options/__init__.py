"""The options of `run.py`."""
