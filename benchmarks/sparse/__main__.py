"""python -m benchmarks.sparse."""

from benchmarks.sparse.run import main

main()
