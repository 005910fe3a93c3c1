"""python -m benchmarks.planner."""

from benchmarks.planner.run import main

main()
