"""python -m benchmarks.gpt."""

from benchmarks.gpt.run import main

main()
