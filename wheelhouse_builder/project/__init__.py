"""What the tree of a project says of itself, read from its files alone: nothing of it is executed."""
