"""Every table, so that one import knows them all."""

from store.tables.directory import BlockRow, ExtensionRow, RouteRow, TrunkRow
from store.tables.journal import CallRow, LegRow, TraceRow, VoicemailRow
from store.tables.people import (
    AccountRow,
    ContactRow,
    InboxRow,
    InvitationRow,
    PersonRow,
    ShelfRow,
)
from store.tables.plans import PlanRow
from store.tables.recordings import RecordingRow
from store.tables.registrations import BindingRow
from store.tables.texts import TextRow

__all__ = [
    "AccountRow",
    "BindingRow",
    "BlockRow",
    "CallRow",
    "ContactRow",
    "ExtensionRow",
    "InboxRow",
    "InvitationRow",
    "LegRow",
    "PersonRow",
    "PlanRow",
    "RecordingRow",
    "RouteRow",
    "ShelfRow",
    "TextRow",
    "TraceRow",
    "TrunkRow",
    "VoicemailRow",
]
