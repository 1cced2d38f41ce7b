"""The root of errors that people see as one line."""


class UserError(Exception):
    """Something the person can mend; the text says what."""


class ConfigError(UserError):
    """The configuration cannot be used; the text says where and why."""
