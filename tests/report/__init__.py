"""The report: its record, its page, and an independent checker of both."""
