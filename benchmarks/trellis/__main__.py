"""python -m benchmarks.trellis."""

from benchmarks.trellis.run import main

main()
