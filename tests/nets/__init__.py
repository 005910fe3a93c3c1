"""The networks, and modules of NNX."""
