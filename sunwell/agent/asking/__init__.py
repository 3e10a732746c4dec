"""Questions about contexts that no prompt holds: the session, what scripts may ask, and the answer."""
