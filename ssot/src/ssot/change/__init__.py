"""Changing a tree: edits that keep every other byte, plans of them, gates, and the migration."""
