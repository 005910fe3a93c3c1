"""The products of a traced function: which equations multiply what with which weights.

From the bottom up: `contraction` (what the axes of products and look-ups are: nothing else reads
them), `_origins` (where operands come from), `unknown` (what may multiply in a way that is not
understood), `find` (the products), `weights` (how weights enter them), `_im2col` (operands as
matrices), `moments` (second moments of what meets weights), `recursion` (least squares by these,
row by row).
"""
