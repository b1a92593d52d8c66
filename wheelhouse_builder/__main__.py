"""`python -m wheelhouse_builder`"""

import sys

from wheelhouse_builder.cli import main

if __name__ == "__main__":
    sys.exit(main())
