"""`make proof`: what the promise is worth, in figures that anybody can repeat."""
