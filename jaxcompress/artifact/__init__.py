"""The file: an archive of streams, what tensors put there, and the manifest that tells them apart.

From the bottom up: `errors`, `regular`, `leftovers`, `atomic`, `memory`; `archive` (bytes of the
zip), `streams` (one member each), `coding` (codes to streams), `forms` (leaves to codes),
`manifest`; `writer` and `reader`.
"""
