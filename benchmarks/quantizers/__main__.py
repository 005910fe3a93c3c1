"""python -m benchmarks.quantizers."""

from benchmarks.quantizers.run import main

main()
