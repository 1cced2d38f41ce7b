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
