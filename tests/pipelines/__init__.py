"""`run.py`."""
