"""`python -m etlctl` is `etlctl`."""

import sys

from etlctl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
