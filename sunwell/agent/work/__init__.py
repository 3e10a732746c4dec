"""One piece of work: a model, its tools and a conversation, turn by turn, to an answer or a limit."""
