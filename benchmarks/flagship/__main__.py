"""python -m benchmarks.flagship."""

from benchmarks.flagship.run import main

main()
