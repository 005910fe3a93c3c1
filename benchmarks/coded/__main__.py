"""python -m benchmarks.coded."""

from benchmarks.coded.run import main

main()
