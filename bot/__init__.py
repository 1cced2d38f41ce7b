"""People: the conversation, and the thin front ends that carry it."""
