"""python -m benchmarks.minilm."""

from benchmarks.minilm.run import main

main()
