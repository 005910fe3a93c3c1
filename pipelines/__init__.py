"""From data to a compressed file: loading, training, stages, report."""
