"""python -m benchmarks.ship."""

from benchmarks.ship.run import main

main()
