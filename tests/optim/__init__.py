"""optax transforms."""
