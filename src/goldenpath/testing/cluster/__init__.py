"""A whole cluster on one machine, to try what it does: `python -m goldenpath.testing.cluster`."""
