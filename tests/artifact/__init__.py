"""The file and its reader."""
