"""What a name means in a tree: which module an import finds, and which symbol in the end."""
