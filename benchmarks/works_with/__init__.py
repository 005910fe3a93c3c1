"""Networks of other libraries, made small, through everything that this one does.

`cases` says what a network is, `haiku_`, `keras_`, `equinox_`, `flax_` and `others` make them,
`trials` puts one through everything, `__main__` runs all and writes them down.
"""
