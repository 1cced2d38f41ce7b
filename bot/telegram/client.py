"""Private chats with the bot, and groups where it is mentioned.

Bot API (https://core.telegram.org/bots/api) through python-telegram-bot, which polls, or is
called by Telegram where a public address is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from telegram import (
    Document,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
    Voice,
)
from telegram.constants import ChatType
from telegram.error import (
    BadRequest,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import (
    AIORateLimiter,
    Application,
    CallbackQueryHandler,
    ContextTypes,
    MessageHandler,
    Updater,
    filters,
)

from bot.bounded import Bounded
from bot.heard import (
    MAX_CALENDAR_BYTES,
    MAX_CARDS_BYTES,
    MAX_VOICE_BYTES,
    MAX_VOICE_SECONDS,
    CalendarFile,
    ContactFile,
    Heard,
    Place,
    SharedContact,
    VoiceNote,
)
from bot.outbox import Later, Outbox
from bot.ports import Account
from bot.reception import Reception
from bot.replies import Reply
from bot.telegram.texts import MAX_CAPTION, pieces
from bot.telegram.updates import Noted, Polling, polling_trouble

log = logging.getLogger(__name__)

CHANNEL = "telegram"
MAX_BUTTONS = 5_000
"Buttons that still do something; the oldest go."
MAX_CARDS = 1_000
PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"Seconds between tries to reach Telegram at the start."
MENU = (
    ("help", "What I can do", "help"),
    ("status", "Phones, lines and calls", "status"),
    ("missed", "Missed calls", "any missed calls"),
    ("calls", "My calls today", "show my calls today"),
    ("voicemail", "Voice messages", "play my voicemail"),
    ("today", "What is on today", "what's on today"),
    ("reminders", "My reminders", "my reminders"),
    ("calendars", "My calendars", "my calendars"),
    ("contacts", "My contacts", "show my contacts"),
    ("phones", "My phones", "my phones"),
    ("setup", "Set up a phone", "set up my phone"),
    ("hangup", "Hang up", "hang up"),
)
"Commands with what they are for, and the sentence that each stands for."
_SAYS = {f"/{command}": sentence for command, _, sentence in MENU}
TOO_OLD = "That button is too old; please write what you want."
NOT_READ = "I cannot do anything with that; please write what you want."
TOO_LARGE = "That file is too large for me: 1 MB at most, of a calendar 10 MB."

FETCH_AGAIN = "I could not fetch that from Telegram; please send it again."
STOPS_WITHIN = 5.0
RETRY = 2.0
"Seconds until it is tried again to note a message."


_App = Application[Any, Any, Any, Any, Any, Any]


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where Telegram calls us: the public address, and where we listen for it. Without a
    certificate a proxy in front does the TLS that Telegram asks for."""

    url: str
    host: str
    port: int
    certificate: str = ""
    key: str = ""


class Telegram:
    """One bot. `api` is the address of a Bot API server of one's own, if any."""

    def __init__(
        self, token: str, reception: Reception, *, api: str = "", webhook: Webhook | None = None
    ) -> None:
        self._reception = reception
        self._webhook = webhook
        updates = Noted(self._note, each=webhook is not None)
        builder = (
            Application.builder()
            .token(token)
            .rate_limiter(AIORateLimiter(max_retries=0))
            .concurrent_updates(64)
            .update_queue(updates)
            .get_updates_request(Polling(updates))
        )
        if api:
            builder = builder.base_url(f"{api}/bot").base_file_url(f"{api}/file/bot")
        self._app: _App = builder.build()
        new = filters.UpdateType.MESSAGE
        self._app.add_handler(MessageHandler(new, self._on_message))
        self._app.add_handler(CallbackQueryHandler(self._on_button))
        self._outbox = Outbox(self._deliver)
        self._buttons: Bounded[str, tuple[str, str]] = Bounded(MAX_BUTTONS)
        "What a button says, and who may press it."
        self._cards: Bounded[tuple[str, str], int] = Bounded(MAX_CARDS)
        "The message that shows a call, by chat and call."
        self._starting: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        "Set once Telegram knows us."
        reception.open_channel(CHANNEL, self.send)

    @property
    def waiting(self) -> int:
        """Replies that are not sent yet."""
        return self._outbox.waiting

    # ── life ────────────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Begin to reach Telegram, for as long as that takes."""
        self._starting = asyncio.ensure_future(self._start())

    async def stop(self) -> None:
        """Take no more messages, and let the one being answered be answered."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._app.updater is not None and self._app.updater.running:
            # It would confirm what came, and so waits until that is noted: Telegram keeps the rest.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPS_WITHIN):
                    await self._app.updater.stop()
        if self._app.running:
            await self._app.stop()
        await self._outbox.close()
        with contextlib.suppress(TelegramError, RuntimeError):
            await self._app.shutdown()

    def send(self, address: str, reply: Reply) -> asyncio.Future[None]:
        """Send a reply, in parts where it is too long for one message."""
        *firsts, last = pieces(reply.text)
        for piece in firsts:
            self._outbox.put(address, Reply(text=piece))
        return self._outbox.put(address, replace(reply, text=last))

    def link(self, code: str) -> str:
        """How somebody comes in with a code."""
        if not self.ready.is_set():
            return f"Telegram: write {code} to the bot"
        return f"Telegram: https://t.me/{self._app.bot.username}?start={code}"

    async def _start(self) -> None:
        for attempt in range(1_000_000):
            try:
                await self._app.initialize()
                break
            except InvalidToken:
                log.error("Telegram does not know the token; see [telegram] in the configuration")
                return
            except TelegramError as error:
                log.warning("Telegram cannot be reached: %s", type(error).__name__)
                await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        with contextlib.suppress(TelegramError):  # a menu is nice to have
            await self._app.bot.set_my_commands([(name, about) for name, about, _ in MENU])
        await self._app.start()
        assert self._app.updater is not None
        await self._begin_to_receive(self._app.updater)
        self.ready.set()
        log.info("Telegram: connected as %s", self._app.bot.username)

    async def _begin_to_receive(self, updater: Updater) -> None:
        kinds = [Update.MESSAGE, Update.CALLBACK_QUERY]
        if self._webhook is None:
            await updater.start_polling(
                allowed_updates=kinds, bootstrap_retries=-1, error_callback=polling_trouble
            )
            return
        await updater.start_webhook(
            listen=self._webhook.host,
            port=self._webhook.port,
            url_path=urlsplit(self._webhook.url).path.lstrip("/"),
            webhook_url=self._webhook.url,
            cert=self._webhook.certificate or None,
            key=self._webhook.key or None,
            secret_token=secrets.token_urlsafe(32),
            allowed_updates=kinds,
            bootstrap_retries=-1,
        )

    # ── what comes in ───────────────────────────────────────────────────────────────────
    async def _note(self, update: Update) -> bool:
        """Whether an update is to be dealt with: one that was before is not."""
        if update.effective_user is None or not self._is_for_us(update):
            return False
        account = Account(CHANNEL, str(update.effective_user.id))
        while True:
            try:
                return await self._reception.note(account, str(update.update_id))
            except Exception:  # the database is away; Telegram keeps what comes meanwhile
                log.exception("a message on Telegram waits until it can be noted")
                await asyncio.sleep(RETRY)

    def _is_for_us(self, update: Update) -> bool:
        """In groups only what mentions us, or answers us, is: the rest is not even noted."""
        message = update.message
        if message is None:
            return update.callback_query is not None
        if message.chat.type == ChatType.PRIVATE:
            return True
        answers = message.reply_to_message
        ours = answers is not None and answers.from_user == self._app.bot.bot
        text = (message.text or "").lower()
        return bool(text) and (ours or self._mention in text)

    @property
    def _mention(self) -> str:
        return f"@{self._app.bot.username}".lower()

    async def _on_message(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        message = update.message
        if message is None or message.from_user is None:
            return
        account = Account(CHANNEL, str(message.from_user.id))
        address = account.address
        if message.chat.type != ChatType.PRIVATE:
            address = f"{message.chat.id}/{address}"
        elif message.text is None and not await self._reception.knows(account):
            return  # nothing of a stranger is fetched
        try:
            heard = await self._heard(message)
        except (NetworkError, BadRequest) as error:
            log.warning("a file on Telegram could not be fetched: %s", type(error).__name__)
            heard = Reply(text=FETCH_AGAIN)
        if isinstance(heard, Reply):
            await self._reception.decline(account, heard, str(update.update_id))
            return
        await self._reception.hear(
            account,
            heard,
            message_id=str(update.update_id),
            name=message.from_user.first_name,
            answer_to=address,
        )

    async def _heard(self, message: Message) -> Heard | Reply:
        """What a message is to us, or what to say to it."""
        if message.text is not None:
            text = re.sub(re.escape(self._mention), " ", message.text, flags=re.I).strip()
            return _SAYS.get(text.lower(), text)
        if message.contact is not None:
            name = f"{message.contact.first_name} {message.contact.last_name or ''}".strip()
            number = message.contact.phone_number  # with its country, with and without a plus
            return SharedContact(name=name, number="+" + number.lstrip("+"))
        if message.location is not None:
            place = message.location
            return Place(latitude=place.latitude, longitude=place.longitude)
        if (file := message.document) is not None and _is_vcard(file):
            if (file.file_size or 0) > MAX_CARDS_BYTES:
                return Reply(text=TOO_LARGE)
            return ContactFile(content=await self._fetch(file, MAX_CARDS_BYTES))
        if (file := message.document) is not None and _is_calendar(file):
            if (file.file_size or 0) > MAX_CALENDAR_BYTES:
                return Reply(text=TOO_LARGE)
            return CalendarFile(content=await self._fetch(file, MAX_CALENDAR_BYTES))
        if (note := message.voice) is not None:
            length = note.duration
            seconds = length.total_seconds() if isinstance(length, timedelta) else length
            if seconds > MAX_VOICE_SECONDS or (note.file_size or 0) > MAX_VOICE_BYTES:
                return Reply(text=TOO_LARGE)
            return VoiceNote(content=await self._fetch(note, MAX_VOICE_BYTES))
        return Reply(text=NOT_READ)

    async def _fetch(self, file: Document | Voice, limit: int) -> bytes:
        found = await file.get_file()
        if (found.file_size or 0) > limit:
            raise BadRequest("it is larger than it said")
        return bytes(await found.download_as_bytearray())

    async def _on_button(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None:
            return
        account = Account(CHANNEL, str(query.from_user.id))
        says, shown_to = self._buttons.get(query.data or "", ("", ""))
        known = says and shown_to.rpartition("/")[2] == account.address
        with contextlib.suppress(TelegramError):  # too late to answer is no reason not to act
            await query.answer("" if known else TOO_OLD)
        if known:
            await self._reception.hear(
                account, says, message_id=str(update.update_id), answer_to=shown_to
            )

    # ── what goes out ───────────────────────────────────────────────────────────────────
    async def _deliver(self, address: str, reply: Reply) -> None:
        await self.ready.wait()
        try:
            if reply.card:
                await self._show(address, reply)
            else:
                await self._say(address, reply)
        except RetryAfter as error:
            wait = error.retry_after
            raise Later(wait.total_seconds() if hasattr(wait, "total_seconds") else wait) from error
        except Forbidden:
            log.info("somebody on Telegram blocked the bot")
        except BadRequest as error:
            log.warning("Telegram refused a message: %s", error.message)
        except NetworkError as error:
            raise Later from error

    async def _say(self, address: str, reply: Reply) -> None:
        bot, chat, keyboard = self._app.bot, _chat_of(address), self._keyboard(address, reply)
        if reply.file is None:
            await bot.send_message(chat, reply.text, reply_markup=keyboard)
        elif reply.file.is_voice:
            caption = reply.text[:MAX_CAPTION]
            await bot.send_voice(chat, reply.file.content, caption=caption, reply_markup=keyboard)
        elif reply.file.is_picture:
            caption = reply.text[:MAX_CAPTION]
            await bot.send_photo(chat, reply.file.content, caption=caption, reply_markup=keyboard)
        else:
            await bot.send_document(
                chat,
                reply.file.content,
                filename=reply.file.name,
                caption=reply.text[:MAX_CAPTION],
                reply_markup=keyboard,
            )

    async def _show(self, address: str, reply: Reply) -> None:
        """The one message about a call: sent once, then changed."""
        key = (address, reply.call_id)
        message_id = self._cards.get(key)
        keyboard = self._keyboard(address, reply)
        text = pieces(reply.card)[0]
        if message_id is None:
            chat = _chat_of(address)
            sent = await self._app.bot.send_message(chat, text, reply_markup=keyboard)
            self._cards[key] = sent.message_id
            return
        try:
            await self._app.bot.edit_message_text(
                text, chat_id=_chat_of(address), message_id=message_id, reply_markup=keyboard
            )
        except BadRequest as error:
            if "not modified" not in error.message.lower():
                raise

    def _keyboard(self, address: str, reply: Reply) -> InlineKeyboardMarkup | None:
        if not reply.buttons:
            return None
        shown = []
        for button in reply.buttons:
            if button.link:
                shown.append(InlineKeyboardButton(button.label, url=button.link))
                continue
            data = secrets.token_urlsafe(9)
            self._buttons[data] = (button.says, address)
            shown.append(InlineKeyboardButton(button.label, callback_data=data))
        columns = 3 if reply.keypad else 4
        return InlineKeyboardMarkup(
            [shown[at : at + columns] for at in range(0, len(shown), columns)]
        )


def _chat_of(address: str) -> int:
    """The chat of an address: a person's id is that of their chat, and behind a group's."""
    return int(address.partition("/")[0])


def _is_calendar(file: Document) -> bool:
    name = (file.file_name or "").lower()
    return name.endswith((".ics", ".ical")) or file.mime_type in (
        "text/calendar",
        "application/ics",
    )


def _is_vcard(file: Document) -> bool:
    name = (file.file_name or "").lower()
    return name.endswith(".vcf") or file.mime_type in ("text/vcard", "text/x-vcard")
