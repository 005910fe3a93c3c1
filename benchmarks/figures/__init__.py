"""The figures of docs, drawn from benchmarks/results; `plots` says how, `__main__` writes them."""
