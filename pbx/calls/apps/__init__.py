"""Apps: coroutines that own a leg. Each takes a call from its first moment to its end."""
