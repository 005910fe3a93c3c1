"""Teaching a small network what a large one knows: losses for any training loop."""
