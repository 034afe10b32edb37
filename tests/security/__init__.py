"""What docs/security.md promises and no other test shows."""
