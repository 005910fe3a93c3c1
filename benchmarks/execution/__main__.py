"""python -m benchmarks.execution."""

from benchmarks.execution.run import main

main()
