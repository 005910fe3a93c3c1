"""python -m benchmarks.recommend."""

from benchmarks.recommend.run import main

main()
