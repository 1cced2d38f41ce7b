"""PyVoIP's names, which are ours too.

One place imports them, because `pyVoIP.SIP` can only be imported after `pyVoIP.VoIP`.
"""

from pyVoIP.VoIP import CallState, InvalidStateError, VoIPCall  # isort: skip
from pyVoIP.RTP import PayloadType, TransmitType
from pyVoIP.SIP import SIPMessage, SIPStatus

__all__ = [
    "CallState",
    "InvalidStateError",
    "PayloadType",
    "SIPMessage",
    "SIPStatus",
    "TransmitType",
    "VoIPCall",
    "reason_phrase",
]


def reason_phrase(status: int) -> str:
    """The standard words for a SIP status code (RFC 3261 §21), for humans and status lines."""
    try:
        return str(SIPStatus(status).phrase)
    except ValueError:
        return _CLASSES.get(status // 100, "Unknown")


_CLASSES = {
    1: "Progress",
    2: "OK",
    3: "Redirected",
    4: "Request Failed",
    5: "Server Failed",
    6: "Refused",
}
