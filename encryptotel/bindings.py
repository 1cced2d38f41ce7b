"""Registrations between the tables and the registrar."""

from __future__ import annotations

from typing import cast

from pbx.ports import SavedBinding
from pbx.sip.message import split_commas
from pbx.sip.transport import Transport
from store.tables import BindingRow


def saved(row: BindingRow) -> SavedBinding:
    """What a row says, for the registrar."""
    return SavedBinding(
        extension=row.extension,
        contact=row.contact,
        transport=cast(Transport, row.transport),
        remote_host=row.remote_host,
        remote_port=row.remote_port,
        expires=row.expires,
        user_agent=row.user_agent,
        call_id=row.call_id,
        cseq=row.cseq,
        username=row.username,
        since=row.since,
        path=tuple(split_commas(row.path)),
        instance=row.instance,
        reg_id=row.reg_id,
    )
