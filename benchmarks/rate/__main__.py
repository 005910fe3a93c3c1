"""python -m benchmarks.rate."""

from benchmarks.rate.run import main

main()
