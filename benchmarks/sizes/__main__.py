"""python -m benchmarks.sizes."""

from benchmarks.sizes.run import main

main()
