"""Functions written for other runtimes."""
