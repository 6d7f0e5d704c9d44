"""Let tests, and the worker processes they start, import what the fault tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
