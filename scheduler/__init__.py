"""Reminders and calendars. Nothing is scheduled yet; what rings at a time will live here."""
