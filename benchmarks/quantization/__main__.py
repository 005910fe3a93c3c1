"""python -m benchmarks.quantization."""

from benchmarks.quantization.run import main

main()
