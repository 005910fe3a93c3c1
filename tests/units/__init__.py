"""Which channels are removed together."""
