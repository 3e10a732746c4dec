"""The endpoint for clients of OpenAI and Anthropic: one request is one run."""
