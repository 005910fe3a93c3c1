"""Small networks of other libraries, each through everything that this library does.

`cases` says what a network is; `haiku_`, `keras_`, `equinox_`, `flax_` and `others` make them;
`trials` tries everything on one; `run` runs all and records the results.
"""
