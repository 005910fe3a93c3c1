"""python -m benchmarks.checkpoints."""

from benchmarks.checkpoints.run import main

main()
