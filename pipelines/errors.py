"""Refusals of a run: one line each, with the remedy."""


class SettingsError(ValueError):
    """A setting that cannot work."""


class FolderError(Exception):
    """A run folder, or a file of it, that cannot be used."""
