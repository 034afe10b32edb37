"""`python -m ssot`."""

from ssot.cli import main

raise SystemExit(main())
