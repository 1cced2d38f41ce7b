"""The way in for programs: `/v1`, which does what the chat does, through the same operator."""
