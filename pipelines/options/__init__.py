"""The options of `run.py`, in one table.

A new option is a row: of the file of `stages/` whose recipes use it, else of `every_run`. Read it
from the bottom up; `option` and `settings` are below `models/` and `stages/`, the others above.

settings    values by name: only those that were given, or that are used
option      what an option is, and the kinds of values
every_run   the options that every recipe and model has
table       all of them, and who uses which
checks      refusals before anything is trained
plan        all that a run uses, chosen; and how files record it
command     the command line
fields      the fields of results.json
page        tables of pages: flags, recipes, fields
"""
