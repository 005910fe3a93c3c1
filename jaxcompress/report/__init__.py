"""The report that one would forward: a record of every number, a page of it, and a model card.

From the bottom up: `_json` and `_arrays` (files that others wrote), `_intervals`, `_png`;
`_tensors` (what a file holds), `_layers` (before and after), `_profile` (which layers hurt),
`_mistakes` (answers that changed); `_files`, `_run` and `_result` (one record each); `_html` (the
page), `_card`, `_write`.

    ANSWERS    the file of a run with the answers of its network
    card       a record as a model card of Hugging Face
    of_files   the record of compressed files alone
    of_plan    the record of a plan, or of a profile
    of_result  the record of what the planner made
    of_run     the record of a folder of `run.py`
    page       a record as one HTML file
    Proved     a compressed network and its proof, of which a report is made
    write      write the page, the record and the card
"""

from jaxcompress.report._card import card
from jaxcompress.report._files import of_files
from jaxcompress.report._html import page
from jaxcompress.report._mistakes import ANSWERS
from jaxcompress.report._result import Proved, of_plan, of_result
from jaxcompress.report._run import of_run
from jaxcompress.report._write import write

__all__ = [
    "ANSWERS",
    "Proved",
    "card",
    "of_files",
    "of_plan",
    "of_result",
    "of_run",
    "page",
    "write",
]
