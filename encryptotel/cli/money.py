"""Commands about money: accounts, the books, payments, prices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from encryptotel.cli.base import (
    DATA,
    ConfigOption,
    DataOption,
    JsonOption,
    app,
    coins_of,
    config_of,
    edit,
    finish,
    found_at,
    print_whole,
    show,
    where_of,
    with_database,
)
from encryptotel.errors import UserError

ledgers = typer.Typer(help="The books: who has and paid what.", no_args_is_help=True)
payments = typer.Typer(help="Payments in crypto (docs/money.md).", no_args_is_help=True)
rates = typer.Typer(help="What calls cost (docs/money.md).", no_args_is_help=True)
app.add_typer(ledgers, name="ledger")
app.add_typer(payments, name="payments")
app.add_typer(rates, name="rates")


@app.command()
def accounts(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What everybody has, and what came in."""
    from wallet.ledger import balances

    where = where_of(config, data)
    found = finish(with_database(where, data, balances))
    coins = coins_of(config, data)
    rows = [
        {"account": account, "asset": coins[asset].name if asset in coins else asset,
         "amount": coins[asset].figures(n) if asset in coins else str(n)}
        for (account, asset), n in found.items()
    ]  # fmt: skip
    text = [f"{row['account']:24} {row['amount']:>16} {row['asset']}" for row in rows]
    show({"accounts": rows}, as_json, lambda: "\n".join(text) or "nobody has anything yet")


@app.command()
def credit(
    extension: str,
    amount: Annotated[str, typer.Argument(help="Such as 10, or -- -2.50 to take it back.")],
    note: Annotated[str, typer.Option(help="What for; the person sees it.")] = "credit",
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Give somebody credit for calls, or take some back."""
    from encryptotel.accounts import give
    from wallet.ledger import LedgerError
    from wallet.money import MoneyError

    loaded = config_of(config, data)
    unit = loaded.money.asset

    async def work(directory: Any) -> int:
        await found_at(directory.extension(extension), extension)
        return await give(directory.database, unit, extension, unit.parse(amount), note)

    try:
        has = edit(loaded, data, work)
    except (MoneyError, LedgerError) as error:
        raise UserError(f"{error}; nothing was changed") from error
    print(f"{extension} has {unit.text(has)} now.")


@ledgers.command("verify")
def ledger_verify(config: ConfigOption = None, data: DataOption = DATA) -> None:
    """Add everything up anew, and prove that every account is right."""
    from wallet.ledger import verify

    proof = finish(with_database(where_of(config, data), data, verify))
    for fault in proof.faults:
        print(f"✗ {fault}")
    if proof.faults:
        raise typer.Exit(1)
    print(f"✓ {proof.entries} entries, {proof.accounts} accounts: everything adds up")


@ledgers.command("income")
def ledger_income(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """What calls brought and what was paid in, by day and asset."""
    from wallet.ledger import income

    found = finish(with_database(where_of(config, data), data, income))
    coins = coins_of(config, data)
    rows = [
        {"day": d, "kind": k, "asset": coins[a].name if a in coins else a,
         "amount": coins[a].figures(n) if a in coins else str(n)}
        for d, k, a, n in found
    ]  # fmt: skip
    lines = [f"{r['day']}  {r['kind']:8} {r['amount']:>20} {r['asset']}" for r in rows]
    show({"income": rows}, as_json, lambda: "\n".join(lines) or "nothing came in yet")


@ledgers.command("export")
def ledger_export(config: ConfigOption = None, data: DataOption = DATA) -> None:
    """All entries as CSV, oldest first; sums in the smallest unit."""
    from wallet.ledger import export

    async def work(database: Any) -> None:
        async for piece in export(database):
            print_whole(piece.removesuffix("\n"))

    finish(with_database(where_of(config, data), data, work))


@payments.command("list")
def payments_list(
    config: ConfigOption = None, data: DataOption = DATA, as_json: JsonOption = False
) -> None:
    """Payments that nobody is known for."""
    from wallet.invoices import unclaimed

    found = finish(with_database(where_of(config, data), data, unclaimed))
    rows = [
        {"payment": r.key, "asset": r.asset, "amount": r.amount, "sender": r.sender, "memo": r.memo}
        for r in found
    ]
    lines = [" ".join(f"{name}={value!r}" for name, value in row.items()) for row in rows]
    show({"payments": rows}, as_json, lambda: "\n".join(lines) or "every payment is somebody's")


@payments.command("assign")
def payments_assign(
    payment: Annotated[str, typer.Argument(help="As `payments list` names it.")],
    extension: str,
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Say whose a payment is; the running exchange credits it."""
    from wallet.invoices import assign

    async def work(directory: Any) -> bool:
        await found_at(directory.extension(extension), extension)
        return await assign(directory.database, payment, extension)

    if not edit(config_of(config, data), data, work):
        raise UserError("there is no such payment that nobody is known for")
    print(f"{payment} is {extension}'s, and is credited when it is confirmed.")


To = Annotated[str, typer.Option("--to", help="The Waves address it goes to.")]
SeedFile = Annotated[
    Path | None,
    typer.Option("--key", help="A file with the seed of [waves] address; else it is asked for."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again.")]


@app.command()
def refund(
    extension: str,
    amount: Annotated[str, typer.Argument(help="Of coins, such as 10.")],
    coin: Annotated[str, typer.Argument(help="WAVES or ETT.")],
    to: To,
    credit: Annotated[
        str, typer.Option(help="What it is worth; by the prices of [waves] if not given.")
    ] = "",
    key: SeedFile = None,
    yes: Yes = False,
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Give coins back for what somebody has, from the account of [waves] address."""
    from encryptotel.refunds import Refunds, worth
    from wallet.money import MoneyError

    loaded = config_of(config, data)
    unit, asset = loaded.money.asset, coin_named(loaded, coin)
    try:
        sum_ = asset.parse(amount)
        taken = unit.parse(credit) if credit else worth(loaded, asset, sum_)
    except MoneyError as error:
        raise UserError(f"{error}; nothing was given back") from error
    if sum_ <= 0:
        raise UserError("a refund is more than nothing")
    host = account_of(loaded, key)
    question = f"Send {asset.short(sum_)} to {to}, and take {unit.text(taken)} off {extension}?"
    if not yes and not typer.confirm(question):
        raise typer.Abort

    async def work(directory: Any) -> str:
        await found_at(directory.extension(extension), extension)
        refunds = Refunds(loaded, directory.database, host)
        return await refunds.of_credit(extension, taken, asset, sum_, to)

    print(edit(loaded, data, work))


@payments.command("refund")
def payments_refund(
    payment: Annotated[str, typer.Argument(help="As `payments list` names it.")],
    to: To,
    key: SeedFile = None,
    yes: Yes = False,
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Give back a payment that nobody is known for, from the account of [waves] address."""
    from encryptotel.refunds import Refunds

    loaded = config_of(config, data)
    host = account_of(loaded, key)
    if not yes and not typer.confirm(f"Send all of the payment {payment} to {to}?"):
        raise typer.Abort

    async def work(directory: Any) -> str:
        return await Refunds(loaded, directory.database, host).of_payment(payment, to)

    print(edit(loaded, data, work))


@app.command()
def wallet(
    extension: str,
    config: ConfigOption = None,
    data: DataOption = DATA,
) -> None:
    """Show the seed of somebody's wallet, which their PIN opens: to keep it on paper."""
    from encryptotel.app import VAULT
    from wallet.vault import NoVault, VaultClosed, Vaults, WrongPin

    loaded = config_of(config, data)
    pin = typer.prompt(f"The PIN of {extension}", hide_input=True)

    async def work(database: Any) -> Any:
        return await Vaults(database, data / VAULT, loaded.waves.chain).open(extension, pin)

    try:
        found = finish(with_database(where_of(config, data), data, work))
    except NoVault:
        raise UserError(f"{extension} has no wallet") from None
    except VaultClosed as closed:
        raise UserError(str(closed)) from closed
    except WrongPin as wrong:
        left = f"{wrong.left} tries are left" if wrong.left else "the wallet is locked"
        raise UserError(f"that PIN is wrong; {left}") from None
    print(f"address  {found.address}\nseed     {found.seed}")


@rates.command("check")
def rates_check(file: Path) -> None:
    """Whether a rate deck can be used; all that is wrong with it."""
    from wallet.rates import DeckError, load

    try:
        deck = load(file)
    except DeckError as error:
        for problem in error.problems:
            print(f"✗ {problem}")
        raise typer.Exit(1) from None
    print(f"✓ {len(deck)} rates")


def coin_named(config: Any, name: str) -> Any:
    """A coin by its name. Raises `UserError`."""
    for coin in config.waves.all_coins:
        if coin.name == name.upper():
            return coin
    raise UserError(f"there is no {name}; take WAVES or ETT")


def account_of(config: Any, file: Path | None) -> Any:
    """The account of [waves] address, by its seed. Raises `UserError`."""
    from wallet.signing import account

    if not config.waves.address:
        raise UserError("[waves] address is empty: there is nothing to give back from")
    address = config.waves.address
    seed = file.read_text("utf-8") if file else typer.prompt(f"Seed of {address}", hide_input=True)
    found = account(seed.strip(), config.waves.chain)
    if found.address != address:
        raise UserError(f"that seed is of {found.address}, not of {address}")
    return found
