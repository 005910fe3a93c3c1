"""python -m benchmarks.second_order."""

from benchmarks.second_order.run import main

main()
