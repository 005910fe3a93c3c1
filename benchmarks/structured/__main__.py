"""python -m benchmarks.structured."""

from benchmarks.structured.run import main

main()
