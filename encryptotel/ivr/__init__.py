"""Menus for callers: the file that describes them, kept current, drawn, and heard."""
