"""Arrays to streams of small integers and back; no trees, no files."""
