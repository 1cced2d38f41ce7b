"""Every table, so that one import knows them all."""

from store.tables.api import (
    ApiKeyRow,
    ConsoleLinkRow,
    DeliveryRow,
    ReplayRow,
    VerificationRow,
    WebhookRow,
)
from store.tables.directory import (
    DeviceRow,
    ExtensionRow,
    RouteRow,
    SetupLinkRow,
    TrunkRow,
)
from store.tables.invoices import InvoiceRow, PaymentRow
from store.tables.journal import CallRow, LegRow, TraceRow, VoicemailRow
from store.tables.ledger import BalanceRow, ChargeRow, EntryRow, PostingRow, SubscriptionRow
from store.tables.nodes import HomeRow, NodeRow
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
from store.tables.reminders import CalendarRow, ConsentRow, HabitRow, ReminderRow, RingRow
from store.tables.texts import TextRow
from store.tables.unread import UnreadRow
from store.tables.vaults import ScenarioRow, SendingRow, VaultRow
from store.tables.wishes import ListedRow, RelayRow, RuleRow, WishRow

__all__ = [
    "AccountRow",
    "ApiKeyRow",
    "BalanceRow",
    "BindingRow",
    "CalendarRow",
    "CallRow",
    "ChargeRow",
    "ConsentRow",
    "ConsoleLinkRow",
    "ContactRow",
    "DeliveryRow",
    "DeviceRow",
    "EntryRow",
    "ExtensionRow",
    "HabitRow",
    "HomeRow",
    "InboxRow",
    "InvitationRow",
    "InvoiceRow",
    "LegRow",
    "ListedRow",
    "NodeRow",
    "PaymentRow",
    "PersonRow",
    "PlanRow",
    "PostingRow",
    "RecordingRow",
    "RelayRow",
    "ReminderRow",
    "ReplayRow",
    "RingRow",
    "RouteRow",
    "RuleRow",
    "ScenarioRow",
    "SendingRow",
    "SetupLinkRow",
    "ShelfRow",
    "SubscriptionRow",
    "TextRow",
    "TraceRow",
    "TrunkRow",
    "UnreadRow",
    "VaultRow",
    "VerificationRow",
    "VoicemailRow",
    "WebhookRow",
    "WishRow",
]
