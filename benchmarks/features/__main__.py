"""python -m benchmarks.features."""

from benchmarks.features.run import main

main()
