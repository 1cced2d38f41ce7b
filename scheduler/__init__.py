"""What happens at a time: `alarm` rings, `plans` are commands for later."""
