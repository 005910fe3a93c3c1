"""The same function with other parameters."""
