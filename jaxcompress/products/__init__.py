"""The products of a traced function: the equations that multiply inputs with weights.

From the bottom up: `contraction` (the axes of products and look-ups, which nothing else reads),
`_origins` (the sources of operands), `unknown` (equations that are not understood and may be
products), `find` (the products), `weights` (the weights of products), `_im2col` (operands as
matrices), `moments` (second moments of the inputs of weights), `shrinkage` (those of few samples),
`recursion` (least squares with these moments, row by row).
"""
