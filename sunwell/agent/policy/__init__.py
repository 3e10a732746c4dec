"""What is decided from words, prices and figures alone: whether to delegate, and how siblings start."""
