"""python -m benchmarks.vit."""

from benchmarks.vit.run import main

main()
