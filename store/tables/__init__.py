"""Every table, so that one import knows them all."""

from store.tables.directory import ExtensionRow, RouteRow, TrunkRow
from store.tables.journal import CallRow, LegRow, TraceRow
from store.tables.registrations import BindingRow

__all__ = [
    "BindingRow",
    "CallRow",
    "ExtensionRow",
    "LegRow",
    "RouteRow",
    "TraceRow",
    "TrunkRow",
]
