"""What multiplies which weights."""
