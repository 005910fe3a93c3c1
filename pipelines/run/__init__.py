"""The program `run.py`, from its command line to its exit status."""
