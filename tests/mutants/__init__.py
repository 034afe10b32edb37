"""Mutants: the product with one thing removed, which some test must notice."""
