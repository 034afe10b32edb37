"""What is known of each file without asking for a role: imports, names, classes; kept in a cache."""
