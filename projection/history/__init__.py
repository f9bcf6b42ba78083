"""How views came to be what they are, and what another program would make of the same events."""
