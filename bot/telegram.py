"""The Telegram front end: private chats with the bot, over polling.

Bot API (https://core.telegram.org/bots/api) through python-telegram-bot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import (
    BadRequest,
    Conflict,
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
    filters,
)
from telegram.request import HTTPXRequest

from bot.outbox import Later, Outbox
from bot.ports import Account
from bot.reception import Reception
from bot.replies import Reply

log = logging.getLogger(__name__)

CHANNEL = "telegram"
MAX_TEXT = 4096
"UTF-16 units of one message."
MAX_BUTTONS = 5_000
"Buttons that still do something; the oldest go."
MAX_CARDS = 1_000
PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"Seconds between tries to reach Telegram at the start."
MENU = (("help", "What I can do"), ("status", "Phones, lines and calls"))
TOO_OLD = "That button is too old; please write what you want."
NOT_TEXT = "I read text only so far; please write what you want."

RETRY = 2.0
"Seconds until it is tried again to note a message."


class _Noted(asyncio.Queue[object]):
    """Updates between polling and handling, each noted on disk first, in their order."""

    def __init__(self, note: Callable[[Update], Awaitable[bool]]) -> None:
        super().__init__()
        self._note = note
        self._noting: deque[tuple[object, asyncio.Future[bool]]] = deque()

    async def put(self, item: object) -> None:
        if not isinstance(item, Update):
            await super().put(item)
            return
        noting = asyncio.ensure_future(self._note(item))
        self._noting.append((item, noting))
        noting.add_done_callback(self._hand_on)

    def _hand_on(self, _: object) -> None:
        while self._noting and self._noting[0][1].done():
            item, noting = self._noting.popleft()
            if not noting.cancelled() and noting.result():
                self.put_nowait(item)

    async def noted(self) -> None:
        """Wait until all that was put in here is noted."""
        await asyncio.gather(*(noting for _, noting in self._noting))


class _Polling(HTTPXRequest):
    """Asks for updates. That also confirms the ones before, so these must be noted by then."""

    def __init__(self, updates: _Noted) -> None:
        super().__init__(connection_pool_size=1)
        self._updates = updates

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        await self._updates.noted()
        return await super().do_request(*args, **kwargs)


_App = Application[Any, Any, Any, Any, Any, Any]


class Telegram:
    """One bot. `api` is the address of a Bot API server of one's own, if any."""

    def __init__(self, token: str, reception: Reception, *, api: str = "") -> None:
        self._reception = reception
        updates = _Noted(self._note)
        builder = (
            Application.builder()
            .token(token)
            .rate_limiter(AIORateLimiter(max_retries=0))
            .concurrent_updates(64)
            .update_queue(updates)
            .get_updates_request(_Polling(updates))
        )
        if api:
            builder = builder.base_url(f"{api}/bot").base_file_url(f"{api}/file/bot")
        self._app: _App = builder.build()
        private = filters.ChatType.PRIVATE
        new = filters.UpdateType.MESSAGE
        self._app.add_handler(MessageHandler(private & new & filters.TEXT, self._on_text))
        self._app.add_handler(MessageHandler(private & new & ~filters.TEXT, self._on_other))
        self._app.add_handler(CallbackQueryHandler(self._on_button))
        self._outbox = Outbox(self._deliver)
        self._buttons: OrderedDict[str, tuple[str, str]] = OrderedDict()
        "What a button says, and who may press it."
        self._cards: OrderedDict[tuple[str, str], int] = OrderedDict()
        "The message that shows a call, by chat and call."
        self._starting: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        "Set once Telegram knows us."
        reception.open_channel(CHANNEL, self.send)

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
            await self._app.bot.set_my_commands(MENU)
        await self._app.start()
        assert self._app.updater is not None
        await self._app.updater.start_polling(
            allowed_updates=[Update.MESSAGE, Update.CALLBACK_QUERY],
            bootstrap_retries=-1,
            error_callback=_polling_trouble,
        )
        self.ready.set()
        log.info("Telegram: connected as %s", self._app.bot.username)

    # ── what comes in ───────────────────────────────────────────────────────────────────
    async def _note(self, update: Update) -> bool:
        """Whether an update is to be dealt with: one that was before is not."""
        if update.effective_user is None:
            return False
        account = Account(CHANNEL, str(update.effective_user.id))
        while True:
            try:
                return await self._reception.note(account, str(update.update_id))
            except Exception:  # the database is away; Telegram keeps what comes meanwhile
                log.exception("a message on Telegram waits until it can be noted")
                await asyncio.sleep(RETRY)

    async def _on_text(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        if update.message is None or update.message.from_user is None:
            return
        await self._reception.hear(
            Account(CHANNEL, str(update.message.from_user.id)),
            update.message.text or "",
            message_id=str(update.update_id),
            name=update.message.from_user.first_name,
        )

    async def _on_other(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        if update.message is not None and update.message.from_user is not None:
            address = str(update.message.from_user.id)
            if await self._reception.knows(Account(CHANNEL, address)):
                self.send(address, Reply(text=NOT_TEXT))

    async def _on_button(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        if query is None:
            return
        address = str(query.from_user.id)
        says, owner = self._buttons.get(query.data or "", ("", ""))
        known = says and owner == address
        with contextlib.suppress(TelegramError):  # too late to answer is no reason not to act
            await query.answer("" if known else TOO_OLD)
        if known:
            await self._reception.hear(
                Account(CHANNEL, address), says, message_id=str(update.update_id)
            )

    # ── what goes out ───────────────────────────────────────────────────────────────────
    async def _deliver(self, address: str, reply: Reply) -> None:
        await self.ready.wait()
        try:
            if reply.card:
                await self._show(address, reply)
            else:
                keyboard = self._keyboard(address, reply)
                await self._app.bot.send_message(int(address), reply.text, reply_markup=keyboard)
        except RetryAfter as error:
            wait = error.retry_after
            raise Later(wait.total_seconds() if hasattr(wait, "total_seconds") else wait) from error
        except Forbidden:
            log.info("somebody on Telegram blocked the bot")
        except BadRequest as error:
            log.warning("Telegram refused a message: %s", error.message)
        except NetworkError as error:
            raise Later from error

    async def _show(self, address: str, reply: Reply) -> None:
        """The one message about a call: sent once, then changed."""
        key = (address, reply.call_id)
        message_id = self._cards.get(key)
        keyboard = self._keyboard(address, reply)
        text = pieces(reply.card)[0]
        if message_id is None:
            sent = await self._app.bot.send_message(int(address), text, reply_markup=keyboard)
            self._cards[key] = sent.message_id
            if len(self._cards) > MAX_CARDS:
                self._cards.popitem(last=False)
            return
        try:
            await self._app.bot.edit_message_text(
                text, chat_id=int(address), message_id=message_id, reply_markup=keyboard
            )
        except BadRequest as error:
            if "not modified" not in error.message.lower():
                raise

    def _keyboard(self, address: str, reply: Reply) -> InlineKeyboardMarkup | None:
        if not reply.buttons:
            return None
        shown = []
        for button in reply.buttons:
            data = secrets.token_urlsafe(9)
            self._buttons[data] = (button.says, address)
            shown.append(InlineKeyboardButton(button.label, callback_data=data))
        while len(self._buttons) > MAX_BUTTONS:
            self._buttons.popitem(last=False)
        columns = 3 if reply.keypad else 4
        return InlineKeyboardMarkup(
            [shown[at : at + columns] for at in range(0, len(shown), columns)]
        )


def pieces(text: str) -> list[str]:
    """A text in parts that Telegram takes, broken at lines where that can be."""
    found: list[str] = []
    part = ""
    for line in text.splitlines(keepends=True):
        while _units(line) > MAX_TEXT:
            cut = MAX_TEXT // 2  # no character takes more than two units
            found += [part, line[:cut]]
            part, line = "", line[cut:]  # noqa: PLW2901
        if _units(part) + _units(line) > MAX_TEXT:
            found.append(part)
            part = ""
        part += line
    return [one for one in (*found, part) if one.strip()] or ["…"]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _polling_trouble(error: TelegramError) -> None:
    if isinstance(error, Conflict):
        log.error("another program polls with the same Telegram token; stop it")
    else:
        log.warning("Telegram cannot be reached: %s", type(error).__name__)
