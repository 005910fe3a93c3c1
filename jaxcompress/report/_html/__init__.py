"""A record as one HTML file: no script, no network, every number out of the record.

From the bottom up: `_elements` (elements, whose text is escaped as they are written), `_numbers`
(numbers with the place in the record that they come from), `_style`, `_tables`, `_scatter`,
`_treemap`, `_seeds` (means and ranges); sections: `_headline`, `_stages`, `_tried`, `_layers`,
`_damage`, `_weights`, `_mistakes` and `_rest`; `_page`.

    page   a record as one HTML file
    words  a number as text
"""

from jaxcompress.report._html._numbers import words
from jaxcompress.report._html._page import page

__all__ = ["page", "words"]
