"""python -m benchmarks.accelerator."""

import sys

from benchmarks.accelerator.run import main

sys.exit(main())
