"""The test broadcast, the demo, and every measure."""

import shared  # noqa: F401  (before numpy: it limits the threads of numeric libraries)
