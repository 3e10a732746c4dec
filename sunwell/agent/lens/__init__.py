"""The lens: asked for, read from what a model wrote, kept as a file."""
