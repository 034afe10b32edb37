"""Files of a tree: which there are, what their modules are called, and to which area they belong."""
