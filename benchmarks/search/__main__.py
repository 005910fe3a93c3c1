"""python -m benchmarks.search."""

from benchmarks.search.run import main

main()
