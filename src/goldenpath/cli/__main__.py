"""`python -m goldenpath.cli`, where the `goldenpath` script is not on the path."""

import sys

from goldenpath.cli import main

sys.exit(main())
