"""python -m benchmarks.lottery."""

from benchmarks.lottery.run import main

main()
