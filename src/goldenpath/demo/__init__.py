"""The demo: an analyst that answers questions about a CSV or SQLite file by plain rules."""
