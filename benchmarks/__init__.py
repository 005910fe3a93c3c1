"""Figures of README and docs: README.md lists the commands, `lib` holds what all of them need."""
