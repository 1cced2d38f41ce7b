"""Kills, full disks, locked databases, reloads and long runs."""
