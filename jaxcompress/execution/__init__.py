"""Execution: functions of arrays, run on compressed leaves without making these dense.

From the bottom up: `_thin` (products with factors), `_weight_only` (products with integer weights),
`_waiting` (coded weights, decoded where they are used), `_functions` (any function, traced).
"""

from jaxcompress.execution._functions import execute

__all__ = ["execute"]
