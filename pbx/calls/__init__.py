"""Calls: legs, what joins them, where they go, and the apps that own them."""
