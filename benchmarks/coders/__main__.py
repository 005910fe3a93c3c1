"""python -m benchmarks.coders."""

from benchmarks.coders.run import main

main()
