"""python -m benchmarks.works_with."""

from benchmarks.works_with.run import main

main()
