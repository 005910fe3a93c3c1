"""python -m benchmarks.lowrank."""

from benchmarks.lowrank.run import main

main()
