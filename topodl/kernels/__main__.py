"""``python -m topodl.kernels`` compiles every kernel ahead of its first use, for containers and clusters."""

import sys

from topodl.kernels.shared.ahead import main

if __name__ == "__main__":
    sys.exit(main())
