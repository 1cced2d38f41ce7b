"""Wallets that people open with a PIN on their phone, and what they send from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

from bot.bounded import Bounded, Hourly
from bot.ports import OperatorError, Person, WalletShown
from encryptotel.config import Config
from encryptotel.followers import Followers
from encryptotel.pins import LONGEST, check
from nlp.commands import SendMoney
from pbx.calls.apps.excuse import MOMENT
from pbx.calls.apps.keyed import keyed
from pbx.calls.apps.tell import tell
from pbx.calls.cause import Ending
from pbx.calls.leg import Leg, LegOver
from pbx.calls.services import Service, Visit
from pbx.media.speech import Voice
from pbx.orders import Orders
from pbx.ports import CallRefused
from store.tables import SendingRow
from wallet.chain import NodeError
from wallet.money import WAVES, Asset, MoneyError
from wallet.sending import SendingError, Sendings
from wallet.vault import NoVault, VaultClosed, Vaults, VaultState, WrongPin

if TYPE_CHECKING:
    from wallet.signing import Account

log = logging.getLogger(__name__)

CODE = "*75"
SHORTEST = 6
"Digits of a PIN that money hangs on."
CHOICES = 3
"So often somebody may choose a PIN in one call."
UNLOCKED, MAX_KNOWN = 5, 10_000
"So often an hour somebody may unlock their wallet; of so many it is known."
DUST = 1_000_000
"Of a coin, in its smallest unit: so little keeps nobody here."
LAST = 4
"Characters of an address that are read out."
HOW = f"Dial {CODE} on your phone to choose its PIN."
LOCKED = "Three wrong PINs have locked your wallet. Say “unlock my wallet” if that was you."
_CHOOSE = "You have no PIN for your wallet yet. Choose one of 6 to 12 digits, and then press hash."
_NEW = "Enter your new PIN of 6 to 12 digits, and then press hash."
_AGAIN = "Once more, please."
_ENTER = "Please enter your PIN, and then the hash key."
_LOCKED = "That PIN is wrong. Your wallet is locked. Write in your chat: unlock my wallet."
_DIFFERENT = "Those were not the same."


class Wallets:
    """Implements `bot.ports.Wallets`, and asks for PINs on phones."""

    def __init__(
        self,
        vaults: Vaults,
        sendings: Sendings,
        config: Config,
        orders: Orders,
        voice: Voice,
        followers: Followers,
    ) -> None:
        self._vaults, self._sendings, self._config = vaults, sendings, config
        self._orders, self._voice, self._followers = orders, voice, followers
        sendings.told = self._settled
        self._unlocked: Bounded[str, Hourly] = Bounded(MAX_KNOWN)
        self._ringing: dict[str, asyncio.Task[None]] = {}
        "Extensions that are rung for a PIN."

    def service(self) -> Service:
        """What to dial."""
        return Service(
            number=CODE, says="your wallet: hear what is in it, choose a PIN", app=self._visit,
            outside=False,
        )  # fmt: skip

    def start(self) -> None:
        """Follow what was sent."""
        self._sendings.start()

    async def stop(self) -> None:
        """Ring nobody any more."""
        for task in self._ringing.values():
            task.cancel()
        await asyncio.gather(*self._ringing.values(), return_exceptions=True)
        await self._sendings.stop()

    # ── by chat ─────────────────────────────────────────────────────────────────────────
    async def shown(self, person: Person) -> WalletShown:
        """What there is to know of somebody's wallet. Raises `OperatorError` without one."""
        state = await self._state(person)
        try:
            there = await self._sendings.balances(state.address)
        except NodeError as error:
            holds: tuple[str, ...] = ()
            trouble = str(error)
        else:
            holds = tuple(coin.short(there[coin.id]) for coin in self._sendings.coins.values())
            trouble = ""
        link = f"{self._config.waves.link}/{WAVES}?recipient={quote(state.address)}&strict"
        return WalletShown(
            address=state.address, holds=holds, trouble=trouble, locked=state.locked, link=link
        )

    async def unlock(self, person: Person) -> None:
        """Let PINs be tried again. Raises `OperatorError` without a wallet."""
        await self._state(person)
        if not self._unlocked.setdefault(person.extension, Hourly(UNLOCKED)).spend():
            raise OperatorError("wallet.locked", "it was unlocked too often; wait an hour")
        await self._vaults.unlock(person.extension)

    async def empty(self, person: Person) -> None:
        """Raises `OperatorError` if there may be anything in somebody's wallet."""
        state = await self._vaults.state(person.extension)
        if state is None:
            return
        try:
            there = await self._sendings.balances(state.address)
        except NodeError as error:
            raise OperatorError(
                "wallet.unknown",
                f"your wallet may hold something, and nobody can tell now: {error}; try later",
            ) from error
        if any(sum_ >= DUST for sum_ in there.values()):
            held = " and ".join(
                self._sendings.coins[id].short(sum_) for id, sum_ in there.items() if sum_
            )
            raise OperatorError(
                "wallet.full", f"your wallet {state.address} holds {held}; send that away first"
            )

    async def drop(self, person: Person) -> None:
        """Throw an empty wallet away. Raises `OperatorError`."""
        await self._state(person)
        await self.empty(person)
        await self._vaults.forget(person.extension)

    async def forget(self, extension: str) -> None:
        """Throw a wallet away."""
        await self._vaults.forget(extension)

    async def sent(self, extension: str, limit: int = 1_000) -> list[dict[str, str]]:
        """What somebody sent, newest first, for them to keep."""
        return [
            {
                "at": row.at.isoformat(),
                "amount": self._sendings.coins[row.asset].short(row.amount),
                "to": row.recipient,
                "transaction": row.id,
                "state": row.state,
            }
            for row in await self._sendings.of(extension, limit)
        ]

    async def send(self, person: Person, command: SendMoney) -> str:
        """Ring the person's phones for the PIN, and send then. Raises `OperatorError`."""
        asset, amount = await self.sum_of(command)
        state = await self._state(person)
        if state.locked:
            raise OperatorError("wallet.locked", LOCKED)
        if person.extension in self._ringing:
            raise OperatorError("wallet.ringing", "I am ringing you for your PIN already")
        try:
            await self._sendings.allows(person.extension, asset.id, amount)
        except SendingError as error:
            raise OperatorError("wallet.limit", str(error)) from error
        task = asyncio.ensure_future(self._ring(person, command))
        self._ringing[person.extension] = task
        task.add_done_callback(lambda _: self._ringing.pop(person.extension, None))
        return (
            f"To send {asset.short(amount)} to {command.to_address} I ring your phones now: key "
            "your PIN there."
        )

    async def sum_of(self, command: SendMoney) -> tuple[Asset, int]:
        """What a command would send, if it may be sent at all. Raises `OperatorError`."""
        if command.money is None:
            raise OperatorError("wallet.sum", "say how much, and to which address")
        coins = {coin.name: coin for coin in self._sendings.coins.values()}
        asset = coins.get(command.money.asset.upper())
        if asset is None:
            raise OperatorError(
                "wallet.coin", f"I send {' or '.join(coins)}, not {command.money.asset}"
            )
        chain = self._config.waves.chain
        if not await asyncio.to_thread(_is_address, command.to_address or "", chain):
            raise OperatorError(
                "wallet.address",
                f"{command.to_address} is no Waves address: a character of it may be wrong",
            )
        try:
            amount = asset.parse(command.money.amount)
            self._sendings.check(asset.id, amount)
        except (MoneyError, SendingError) as error:
            raise OperatorError("wallet.sum", str(error)) from error
        return asset, amount

    def _settled(self, row: SendingRow) -> None:
        """Tell whose it is what became of a payment."""
        what = f"{self._sendings.coins[row.asset].short(row.amount)} to {row.recipient}"
        if row.state == "confirmed":
            text = f"The chain has your payment of {what}."
        else:
            text = f"Your payment of {what} came to nothing: {row.reason}. Nothing was sent."
        owner = self._config.owner.extension  # what has no extension is a refund of the host's
        self._followers.announce(row.extension or owner, text)

    # ── by phone ────────────────────────────────────────────────────────────────────────
    async def _visit(self, visit: Visit) -> Ending:
        """Hear what is in one's wallet, and change its PIN."""
        leg, extension = visit.leg, visit.call.user
        await leg.answer()
        visit.call.answered()
        try:
            account = await self.opened(leg, extension)
            if account is not None:
                await self._desk(leg, extension, account)
        except LegOver as over:
            return over.ending
        return await self.goodbye(leg)

    async def _desk(self, leg: Leg, extension: str, account: Account) -> None:
        try:
            there = await self._sendings.balances(account.address)
            held = " and ".join(self.aloud(id, there[id]) for id in there)
            words = f"There are {held} in your wallet."
        except NodeError as error:
            words = f"What is in your wallet cannot be told now: {error}."
        offer = f"{words} To change your PIN, press 1. To end, press star."
        if await tell(leg, await self._voice.say(offer), "1*") != "1":
            return
        chosen = await self._chosen(leg, _NEW)
        if chosen:
            await self._vaults.change(extension, account, chosen)
            await self.say(leg, "Your PIN is changed.")

    async def opened(self, leg: Leg, extension: str) -> Account | None:
        """The wallet of whoever has a phone in their hand and keys its PIN, or chooses one now;
        None when that does not come about. Raises `LegOver`."""
        await leg.play(MOMENT)
        if await self._vaults.state(extension) is None:
            return await self._made(leg, extension)
        words = _ENTER
        while pin := await keyed(leg, await self._voice.say(words), LONGEST):
            try:
                return await self._vaults.open(extension, pin)
            except NoVault:
                await self.say(leg, "Your wallet is gone.")
                break
            except VaultClosed as closed:
                await self._say_closed(leg, closed)
                break
            except WrongPin as wrong:
                if not wrong.left:
                    self._followers.announce(extension, LOCKED)
                    await self.say(leg, _LOCKED)
                    break
                words = f"That PIN is wrong. {_ENTER}"
        return None

    async def pay(
        self,
        leg: Leg,
        extension: str,
        account: Account,
        command: SendMoney,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """Read back what is to be sent, and send it after a 1, if that `holds` still. Raises
        `LegOver`."""
        try:
            asset, amount = await self.sum_of(command)
        except OperatorError as error:
            await self.say(leg, f"Nothing was sent: {error.message}.")
            return
        to = command.to_address or ""
        end = ", ".join(to[-LAST:])
        words = (
            f"{self.aloud(asset.id, amount)}, to the address that ends in: {end}. To send that, "
            "press 1. To hear it again, press 3. To send nothing, press 2."
        )
        key = await tell(leg, await self._voice.say(words), "12", "3")
        if key != "1" or not holds():
            if leg.ending is None:
                await self.say(leg, "Nothing was sent.")
            return
        leg.audio.play(await self._voice.say("One moment, please."))
        what = f"{asset.short(amount)} to {to}"
        try:
            row = await self._sendings.send(extension, account, to, asset.id, amount)
        except DBAPIError as error:
            log.error("a payment could not be written down: %s", error.orig)
            said = "It could not be written down, so nothing was sent. Please try again later."
            self._followers.announce(extension, f"{what}: {said}")
            await self.say(leg, said)
            return
        except (SendingError, NodeError) as error:
            self._followers.announce(extension, f"{what}: nothing was sent, {error}.")
            await self.say(leg, f"Nothing was sent: {error}.")
            return
        where = f"{self._config.waves.explorer}{row.id}"
        if row.state == "signed":
            said = "It is signed, but no node answers. I keep trying for two hours."
            self._followers.announce(extension, f"{what} is signed: {where}. {said}")
        else:
            said = "It is sent."
            self._followers.announce(extension, f"Sent {what}: transaction {row.id}, {where}")
        await self.say(leg, said)

    async def say(self, leg: Leg, words: str) -> None:
        """Say something to its end."""
        await leg.play(await self._voice.say(words))

    async def goodbye(self, leg: Leg) -> Ending:
        """End a call."""
        if leg.ending is None:
            await leg.play(await self._voice.say("Goodbye.") + MOMENT)
        return leg.ending or Ending(status=200, reason="")

    def aloud(self, asset: str, amount: int) -> str:
        """A sum as it is spoken."""
        coin = self._sendings.coins[asset]
        name = "waves" if asset == WAVES else ", ".join(coin.name)
        return f"{coin.short(amount).partition(' ')[0]} {name}"

    async def _made(self, leg: Leg, extension: str) -> Account | None:
        """Choose a PIN, and have a wallet from now on."""
        pin = await self._chosen(leg, _CHOOSE)
        if not pin:
            return None
        try:
            address = await self._vaults.make(extension, pin)
        except VaultClosed as closed:
            await self._say_closed(leg, closed)
            return None
        if not address:
            await self.say(leg, "You have a PIN already, which was chosen just now.")
            return None
        await self.say(leg, "Thank you. This is your PIN now.")
        self._followers.announce(
            extension,
            f"You have a wallet now: {address}. Put into it what you would carry in a purse; "
            "“my wallet” shows how. Nobody can open it without the PIN you have just chosen.",
        )
        return await self._vaults.open(extension, pin)

    async def _say_closed(self, leg: Leg, closed: VaultClosed) -> None:
        """The host can mend it, and nobody else."""
        self._followers.announce(
            self._config.owner.extension, f"Wallets cannot be opened: {closed}."
        )
        await self.say(leg, "Wallets cannot be opened just now. Whoever runs this exchange knows.")

    async def _chosen(self, leg: Leg, words: str) -> str:
        """A PIN that was keyed twice; nothing when that did not come about. Raises `LegOver`."""
        asking = words
        for _ in range(CHOICES):
            pin = await keyed(leg, await self._voice.say(asking), LONGEST)
            if not pin:
                return ""
            try:
                check(pin, SHORTEST)
            except OperatorError as error:
                asking = f"{error.message}. {words}"
                continue
            if await keyed(leg, await self._voice.say(_AGAIN), LONGEST) == pin:
                return pin
            asking = f"{_DIFFERENT} {words}"
        return ""

    async def _ring(self, person: Person, command: SendMoney) -> None:
        """Ring somebody for their PIN, and send."""

        async def talk(leg: Leg) -> str:
            try:
                account = await self.opened(leg, person.extension)
                if account is not None:
                    await self.pay(leg, person.extension, account, command)
                await self.goodbye(leg)
            except (LegOver, NoVault):
                pass
            return ""

        try:
            await self._orders.announce(
                person.extension, user=person.extension, shown=CODE, talk=talk
            )
        except CallRefused as refused:
            self._followers.announce(
                person.extension, f"Nothing was sent: your phones were not answered ({refused})."
            )

    async def _state(self, person: Person) -> VaultState:
        state = await self._vaults.state(person.extension)
        if state is None:
            raise OperatorError("wallet.none", f"you have no wallet yet. {HOW}")
        return state


def most_of(config: Config) -> Mapping[str, tuple[int, int]]:
    """The most of each coin in one payment, and within a day."""
    section = config.wallet
    return {
        coin.id: (coin.parse(section.payment[coin.name]), coin.parse(section.day[coin.name]))
        for coin in config.waves.all_coins
    }


def _is_address(text: str, chain: str) -> bool:
    """In a thread: what it needs is loaded by those who send something only."""
    from wallet.signing import is_address

    return is_address(text, chain)
