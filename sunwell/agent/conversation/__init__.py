"""A model, its tools and their messages, turn by turn, to an answer or a limit."""
