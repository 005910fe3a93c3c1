"""README and docs."""
