"""The report that one would forward: a record of every number, a page of it, and a model card.

From the bottom up: `_json` and `_arrays` (files that others wrote), `_intervals`, `_png`;
`_tensors` (what a file holds), `_damage` (how far it is off), `_layers` (before and after),
`_left` (why tensors were left), `_profile` (which layers hurt), `_search` (networks and tickets
that were tried), `_mistakes` (answers that changed); `_files`, `_run`, `_seeds` and `_result` (one
record each); `_html` (the page), `_card`, `_write`.

    ALONE      the file of a run with the damage of each layer alone
    ANSWERS    the file of a run with the answers of its network
    card       a record as a model card of Hugging Face
    of_files   the record of compressed files alone
    of_plan    the record of a plan, or of a profile
    of_result  the record of what the planner made
    of_run     the record of a folder of `run.py`
    of_seeds   the record of such folders that differ in the seed only
    page       a record as one HTML file
    Proved     a compressed network and its proof, of which a report is made
    write      write the page, the record and the card
"""

from jaxcompress.report._card import card
from jaxcompress.report._damage import ALONE
from jaxcompress.report._files import of_files
from jaxcompress.report._html import page
from jaxcompress.report._mistakes import ANSWERS
from jaxcompress.report._result import Proved, of_plan, of_result
from jaxcompress.report._run import of_run
from jaxcompress.report._seeds import of_seeds
from jaxcompress.report._write import write

__all__ = [
    "ALONE",
    "ANSWERS",
    "Proved",
    "card",
    "of_files",
    "of_plan",
    "of_result",
    "of_run",
    "of_seeds",
    "page",
    "write",
]
