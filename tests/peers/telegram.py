"""A Bot API server as strict as Telegram's, for one bot, with people who write to it.

Every request is checked by aiogram's models, an implementation of the API independent of the
library that the product uses; limits and errors are those of https://core.telegram.org/bots/api.
Trouble can be ordered: refusals, broken connections, updates that come again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiogram import methods, types
from aiogram.methods.base import TelegramMethod
from aiohttp import ClientError, ClientSession, web
from pydantic import ValidationError

from .ports import HOST
from .proc import Feed, PeerError

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
BOT = types.User(id=123456789, is_bot=True, first_name="PBX", username="encryptotel_test_bot")
_METHODS: dict[str, type[TelegramMethod[Any]]] = {
    "getme": methods.GetMe,
    "getupdates": methods.GetUpdates,
    "setwebhook": methods.SetWebhook,
    "deletewebhook": methods.DeleteWebhook,
    "getfile": methods.GetFile,
    "sendmessage": methods.SendMessage,
    "senddocument": methods.SendDocument,
    "sendphoto": methods.SendPhoto,
    "sendvoice": methods.SendVoice,
    "editmessagetext": methods.EditMessageText,
    "answercallbackquery": methods.AnswerCallbackQuery,
    "setmycommands": methods.SetMyCommands,
}
_JSON = {"commands", "reply_markup", "allowed_updates", "entities", "link_preview_options"}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


@dataclass
class Seen:
    """A message as its reader sees it now."""

    id: int
    text: str
    buttons: list[tuple[str, str]]
    edits: int = 0
    file: bytes = b""


@dataclass
class User:
    """Somebody with Telegram: writes, taps, reads."""

    server: TelegramServer
    id: int
    name: str
    started: bool = False
    messages: list[Seen] = field(default_factory=list)
    feed: Feed[str] = field(default_factory=lambda: Feed("telegram"))
    "Every text as it came or changed."
    toasts: list[str] = field(default_factory=list)

    def says(self, text: str) -> None:
        """Write a message; it is never empty and never over 4096 characters there."""
        self.started = True
        self.server.deliver(message=self.message(text))

    def sends(self, **content: Any) -> None:
        """Send something else than words: a contact, a place, a file."""
        self.started = True
        self.server.deliver(message=self.message(None, **content))

    def says_in(self, group: int, text: str, **more: Any) -> None:
        """Write in a group; the bot sees it all, as one whose privacy mode is off."""
        chat = types.Chat(id=group, type="supergroup", title="Family")
        self.server.groups.setdefault(group, [])
        self.server.deliver(message=self.message(text, chat=chat, **more))

    def message(self, text: str | None, **content: Any) -> types.Message:
        chat = types.Chat(id=self.id, type="private", first_name=self.name)
        return types.Message(
            message_id=self.server.next_id(),
            date=datetime.now(UTC),
            from_user=types.User(id=self.id, is_bot=False, first_name=self.name),
            text=text,
            **{"chat": chat, **content},
        )

    def taps(self, label: str) -> None:
        """Press the newest button with that label."""
        for seen in reversed(self.messages):
            for text, data in seen.buttons:
                if text == label:
                    self.presses(seen, data)
                    return
        raise PeerError(f"no button {label!r} in {[seen.buttons for seen in self.messages]}")

    def presses(self, seen: Seen, data: str) -> None:
        """Send the press of a button, whoever's it is."""
        query_id = str(self.server.next_id())
        self.server.queries[query_id] = self
        self.server.deliver(
            callback_query=types.CallbackQuery(
                id=query_id,
                from_user=types.User(id=self.id, is_bot=False, first_name=self.name),
                chat_instance=str(self.id),
                message=types.Message(
                    message_id=seen.id,
                    date=datetime.now(UTC),
                    chat=types.Chat(id=self.id, type="private"),
                    text=seen.text or "x",
                ),
                data=data,
            )
        )

    async def sees(self, wanted: Callable[[str], bool], within: float = 20) -> str:
        """Wait for a text that is wanted, new or changed."""
        return await self.feed.wait(wanted, within)


class TelegramServer:
    """`async with TelegramServer() as server:`; `server.url` is what the bot is pointed at."""

    def __init__(self, host: str = HOST) -> None:
        self._host = host
        self.users: dict[int, User] = {}
        self.queries: dict[str, User] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.invalid: list[str] = []
        "What the bot asked that Telegram would not understand; must stay empty."
        self.trouble: deque[Refused | None] = deque()
        "What the next requests that send get instead of an answer; None breaks the connection."
        self.groups: dict[int, list[Seen]] = {}
        self.group_feed: Feed[str] = Feed("group")
        self.files: dict[str, bytes] = {}
        "What can be fetched, by file id."
        self.refused_calls = 0
        "Times that our call of the webhook was not answered with success."
        self._webhook: methods.SetWebhook | None = None
        self._calling: asyncio.Task[None] | None = None
        self.webhook_at = ""
        "Where the proxy in front of the bot hands calls on to."
        self.again = 0
        "So many confirmed updates are delivered once more."
        self._ids = itertools.count(1000)
        self._updates: list[types.Update] = []
        self._update_ids = itertools.count(1)
        self._new = asyncio.Event()
        self._polling: asyncio.Event | None = None
        self._closing = False
        self._runner: web.AppRunner
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path}", self._file)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.url = f"http://{self._host}:{server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._new.set()
        if self._calling is not None:
            self._calling.cancel()
        await self._runner.cleanup()

    async def gave_trouble(self) -> None:
        """Wait until we wanted to show something, and could not."""
        some = len(self.trouble)
        async with asyncio.timeout(10):
            while len(self.trouble) == some:  # noqa: ASYNC110  # a request tells nobody
                await asyncio.sleep(0.01)

    def user(self, id: int, name: str) -> User:
        return self.users.setdefault(id, User(self, id, name))

    def next_id(self) -> int:
        return next(self._ids)

    def deliver(self, **content: Any) -> None:
        """Put an update in the bot's queue."""
        self._updates.append(types.Update(update_id=next(self._update_ids), **content))
        self._new.set()

    def file(self, content: bytes) -> dict[str, Any]:
        """Keep a file that the bot can fetch; its ids and size."""
        file_id = f"file-{self.next_id()}"
        self.files[file_id] = content
        return {"file_id": file_id, "file_unique_id": file_id, "file_size": len(content)}

    async def _call_webhook(self) -> None:
        """Deliver one update after the other, each until it is answered with success."""
        assert self._webhook is not None
        headers = {"X-Telegram-Bot-Api-Secret-Token": self._webhook.secret_token or ""}
        async with ClientSession() as session:
            while True:
                while not self._updates:
                    self._new.clear()
                    await self._new.wait()
                body = _plain(self._updates[0])
                try:
                    async with session.post(self.webhook_at, json=body, headers=headers) as got:
                        good = got.status == 200
                except ClientError:
                    good = False
                if not good:
                    self.refused_calls += 1
                    await asyncio.sleep(0.1)
                    continue
                done = self._updates.pop(0)
                if self.again:
                    self.again -= 1
                    self._updates.insert(0, done)

    async def _file(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["path"])
        if request.match_info["token"] != TOKEN or content is None:
            return web.Response(status=404)
        return web.Response(body=content)

    # ── requests ────────────────────────────────────────────────────────────────────────
    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"].lower()
        try:
            if request.match_info["token"] != TOKEN:
                raise Refused(401, "Unauthorized")
            call = await self._read(name, request)
            if name in ("sendmessage", "editmessagetext") and self.trouble:
                trouble = self.trouble.popleft()
                if trouble is None:
                    assert request.transport is not None
                    request.transport.abort()
                    return web.Response()
                raise trouble
            result = await getattr(self, f"_{name}")(call)
        except Refused as refused:
            body = {"ok": False, "error_code": refused.code, "description": refused.description}
            if refused.parameters:
                body["parameters"] = refused.parameters
            return web.json_response(body, status=refused.code)
        return web.json_response({"ok": True, "result": _plain(result)})

    async def _read(self, name: str, request: web.Request) -> Any:
        model = _METHODS.get(name)
        if model is None:
            self.invalid.append(f"there is no method {name} here")
            raise Refused(404, "Not Found")
        if request.content_type == "application/json":
            values = await request.json()
        else:
            posted = await request.post()
            files = {
                key: types.BufferedInputFile(value.file.read(), value.filename)
                for key, value in posted.items()
                if isinstance(value, web.FileField)
            }
            values = {
                key: json.loads(value) if key in _JSON else value
                for key, value in posted.items()
                if isinstance(value, str)
            }
            for key, value in values.items():  # "attach://name" stands for a part of that name
                if isinstance(value, str) and value.startswith("attach://"):
                    values[key] = files.pop(value.removeprefix("attach://"))
            values |= files
        self.calls.append((name, values))
        unknown = set(values) - set(model.model_fields)
        try:
            if unknown:
                raise ValueError(f"unknown parameters {unknown}")
            return model.model_validate(values)
        except (ValidationError, ValueError) as error:
            self.invalid.append(f"{name} {values}: {error}")
            raise Refused(400, f"Bad Request: {error}") from error

    async def _getme(self, call: methods.GetMe) -> types.User:
        return BOT

    async def _setwebhook(self, call: methods.SetWebhook) -> bool:
        if not call.url.startswith("https://"):
            raise Refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", call.secret_token or ""):
            raise Refused(400, "Bad Request: secret token contains unallowed characters")
        self._webhook = call
        self._calling = self._calling or asyncio.ensure_future(self._call_webhook())
        return True

    async def _deletewebhook(self, call: methods.DeleteWebhook) -> bool:
        self._webhook = None
        if self._calling is not None:
            self._calling.cancel()
            self._calling = None
        return True

    async def _getfile(self, call: methods.GetFile) -> types.File:
        content = self.files.get(call.file_id)
        if content is None:
            raise Refused(400, "Bad Request: wrong file_id")
        return types.File(
            file_id=call.file_id,
            file_unique_id=call.file_id,
            file_size=len(content),
            file_path=call.file_id,
        )

    async def _setmycommands(self, call: methods.SetMyCommands) -> bool:
        for command in call.commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command.command):
                raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
        return True

    async def _getupdates(self, call: methods.GetUpdates) -> list[types.Update]:
        if self._webhook is not None:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active")
        if self._polling is not None:
            self._polling.set()  # the newer one wins, as at Telegram
        ended = self._polling = asyncio.Event()
        if call.offset:
            confirmed = [u for u in self._updates if u.update_id < call.offset]
            self._updates = [u for u in self._updates if u.update_id >= call.offset]
            if confirmed and self.again:
                self.again -= 1
                self._updates.insert(0, confirmed[-1])
        limit = time.monotonic() + (call.timeout or 0)
        while not self._updates and not ended.is_set() and not self._closing:
            self._new.clear()
            left = limit - time.monotonic()
            if left <= 0:
                break
            waits = [asyncio.ensure_future(one.wait()) for one in (self._new, ended)]
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if ended.is_set():
            raise Refused(409, "Conflict: terminated by other getUpdates request")
        self._polling = None
        allowed = set(call.allowed_updates or ())
        found = [u for u in self._updates if not allowed or u.event_type in allowed]
        return found[: call.limit or 100]

    async def _sendmessage(self, call: methods.SendMessage) -> types.Message:
        return self._take(call.chat_id, call.text, call.reply_markup)

    async def _senddocument(self, call: methods.SendDocument) -> types.Message:
        return self._take_file(call.chat_id, call.document, call)

    async def _sendphoto(self, call: methods.SendPhoto) -> types.Message:
        if not call.photo.data.startswith(b"\x89PNG"):  # type: ignore[union-attr]
            raise Refused(400, "Bad Request: IMAGE_PROCESS_FAILED")
        return self._take_file(call.chat_id, call.photo, call)

    async def _sendvoice(self, call: methods.SendVoice) -> types.Message:
        return self._take_file(call.chat_id, call.voice, call)

    def _take_file(self, chat_id: int | str, file: Any, call: Any) -> types.Message:
        caption = call.caption or ""
        if len(caption) > 1024:
            raise Refused(400, "Bad Request: message caption is too long")
        return self._take(chat_id, caption or "(a file)", call.reply_markup, file.data)

    def _take(self, chat_id: int | str, text: str, markup: Any, file: bytes = b"") -> types.Message:
        seen = Seen(self.next_id(), text, self._checked(text, markup), file=file)
        if int(chat_id) in self.groups:
            self.groups[int(chat_id)].append(seen)
            self.group_feed.push(text)
            return self._shown(User(self, int(chat_id), "group"), seen)
        user = self._reader(chat_id)
        user.messages.append(seen)
        user.feed.push(seen.text)
        return self._shown(user, seen)

    async def _editmessagetext(self, call: methods.EditMessageText) -> types.Message:
        user = self._reader(call.chat_id or 0)
        buttons = self._checked(call.text or "", call.reply_markup)
        seen = next((one for one in user.messages if one.id == call.message_id), None)
        if seen is None:
            raise Refused(400, "Bad Request: message to edit not found")
        labels = [label for label, _ in buttons]
        if seen.text == call.text and [label for label, _ in seen.buttons] == labels:
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message",
            )
        seen.text, seen.buttons, seen.edits = call.text or "", buttons, seen.edits + 1
        user.feed.push(seen.text)
        return self._shown(user, seen)

    async def _answercallbackquery(self, call: methods.AnswerCallbackQuery) -> bool:
        user = self.queries.pop(call.callback_query_id, None)
        if user is None:
            raise Refused(400, "Bad Request: query is too old and response timeout expired")
        if len(call.text or "") > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        user.toasts.append(call.text or "")
        return True

    # ── rules ───────────────────────────────────────────────────────────────────────────
    def _reader(self, chat_id: int | str) -> User:
        user = self.users.get(int(chat_id))
        if user is None:
            raise Refused(400, "Bad Request: chat not found")
        if not user.started:
            raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
        return user

    @staticmethod
    def _checked(text: str, markup: Any) -> list[tuple[str, str]]:
        if not text.strip():
            raise Refused(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > 4096:
            raise Refused(400, "Bad Request: message is too long")
        rows = markup.inline_keyboard if markup else []
        every = [button for row in rows for button in row]
        for button in every:
            if button.url and not re.fullmatch(r"https?://[^\s]{3,2000}", button.url):
                raise Refused(400, "Bad Request: BUTTON_URL_INVALID")
        buttons = [(button.text, button.callback_data or "") for button in every if not button.url]
        if any(not 1 <= len(data.encode()) <= 64 for _, data in buttons):
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
        return buttons

    @staticmethod
    def _shown(user: User, seen: Seen) -> types.Message:
        return types.Message(
            message_id=seen.id,
            date=datetime.now(UTC),
            chat=types.Chat(id=user.id, type="private", first_name=user.name),
            from_user=BOT,
            text=seen.text,
        )


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(one) for one in result]
    if isinstance(result, bool):
        return result
    found = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return _unix(found)


def _unix(value: Any) -> Any:
    """Telegram writes times as Unix seconds."""
    if isinstance(value, dict):
        return {
            key: int(datetime.fromisoformat(one).timestamp())
            if key in ("date", "edit_date") and isinstance(one, str)
            else _unix(one)
            for key, one in value.items()
        }
    return [_unix(one) for one in value] if isinstance(value, list) else value
