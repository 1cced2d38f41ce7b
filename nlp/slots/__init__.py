"""What each command needs to know, taken from the words: one builder an intent.

A builder gets the `View` of its clause and gives a `Built`. Which intent it is has been decided
before; a builder only reads slots, and leaves empty what it cannot read for certain.
"""

from collections.abc import Callable, Mapping

from nlp.slots import calls, messages, money, records, reminders, routing
from nlp.slots.built import Built
from nlp.view import View

BUILDERS: Mapping[str, Callable[[View], Built]] = {
    "conference": calls.conference,
    "transfer": calls.transfer,
    "redirect": routing.redirect,
    "do_not_disturb": routing.do_not_disturb,
    "block": routing.block,
    "unblock": routing.unblock,
    "hide_number": routing.hide_number,
    "record": routing.record,
    "message": messages.message,
    "contact_add": messages.contact_add,
    "contact_remove": messages.contact_remove,
    "contacts": messages.contacts,
    "invite": messages.invite,
    "add_device": messages.add_device,
    "remind": reminders.remind,
    "reminders": reminders.reminders,
    "cancel_reminder": reminders.cancel_reminder,
    "edit_reminder": reminders.edit_reminder,
    "calendar": reminders.calendar,
    "history": records.history,
    "voicemail": records.voicemail,
    "recordings": records.recordings,
    "tracking_number": records.tracking_number,
    "statistics": records.statistics,
    "tariff": money.tariff,
    "top_up": money.top_up,
    "send_money": money.send_money,
}
"Builders by label; commands without slots need none, calls and scenarios are built elsewhere."
