"""python -m benchmarks.core."""

from benchmarks.core.run import main

main()
