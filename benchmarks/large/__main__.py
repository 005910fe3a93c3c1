"""python -m benchmarks.large."""

from benchmarks.large.run import main

main()
