"""Roles: which symbols play one, how they relate to its canonical, who uses them, and how."""
