"""python -m benchmarks.distillation."""

from benchmarks.distillation.run import main

main()
