"""Attacks on a running exchange from outside, over loopback."""
