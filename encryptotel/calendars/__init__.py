"""Calendars people have elsewhere: `sources` and `dav` fetch them, `reading` understands iCalendar,
`syncing` keeps what is on as reminders."""
