"""Functions on compressed leaves."""
