"""Running functions on compressed leaves."""
