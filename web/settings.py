"""A phone's settings as the programs on it fetch them."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from web.ports import PhoneSettings

_NAMESPACE = "http://www.linphone.org/xsds/lpconfig.xsd"


def linphone_xml(phone: PhoneSettings) -> bytes:
    """Linphone's remote provisioning (https://wiki.linphone.org, “Remote Provisioning”): its
    configuration file as XML. An entry that is there already is replaced."""
    server = f"<sip:{phone.host}:{phone.tls_port};transport=tls>"
    sections = {
        "misc": {"transient_provisioning": "1"},  # or it fetches the used link at each start
        "sip": {
            "media_encryption": "srtp" if phone.encrypts else "none",
            "media_encryption_mandatory": str(int(phone.must_encrypt)),
            "verify_server_certs": "1",
            "verify_server_cn": "1",
            "default_proxy": "0",
        },
        "proxy_0": {
            "reg_proxy": server,
            "reg_route": server,  # calls too: the domain need not be one that DNS knows
            "reg_identity": f'"{_quotable(phone.owner)}" <sip:{phone.number}@{phone.domain}>',
            "realm": phone.domain,
            "reg_expires": "600",
            "reg_sendregister": "1",
            "publish": "0",
            "quality_reporting_enabled": "0",
        },
        "auth_info_0": {
            "username": phone.number,
            "userid": phone.username,
            "passwd": phone.secret,
            "realm": phone.domain,
            "domain": phone.domain,
        },
    }
    config = Element("config", {"xmlns": _NAMESPACE})
    for name, entries in sections.items():
        section = SubElement(config, "section", {"name": name})
        for key, value in entries.items():
            SubElement(section, "entry", {"name": key, "overwrite": "true"}).text = value
    return _written(config)


def zoiper_xml(phone: PhoneSettings) -> bytes:
    """What Zoiper expects of a provider's “token URL” (https://oem.zoiper.com/docs, “Token based
    provisioning”): who one is; where the server is says the provider's own page there."""
    options = Element("options")
    account = SubElement(SubElement(options, "accounts"), "account")
    for name, value in (
        ("username", phone.number),
        ("password", phone.secret),
        ("authentication_username", phone.username),
    ):
        SubElement(account, name).text = value
    return _written(options)


def as_text(phone: PhoneSettings) -> str:
    """For a person who types it into a phone."""
    return "\n".join([f"{label}: {value}" for label, value in rows(phone)]) + "\n"


def rows(phone: PhoneSettings) -> list[tuple[str, str]]:
    """Labels and values, in the order in which phones ask for them."""
    media = "SRTP, always" if phone.must_encrypt else "SRTP" if phone.encrypts else "not encrypted"
    return [
        ("User name (number)", phone.number),
        ("Authentication user", phone.username),
        ("Password", phone.secret),
        ("Domain (realm)", phone.domain),
        ("Server (outbound proxy)", f"{phone.host}:{phone.tls_port}"),
        ("Transport", "TLS"),
        ("Media encryption", media),
    ]


def _written(document: Element) -> bytes:
    written: bytes = tostring(document, encoding="utf-8", xml_declaration=True)
    return written


def _quotable(name: str) -> str:
    """A display name that needs no escapes (RFC 3261 §25.1, quoted-string)."""
    return "".join(c for c in name if c.isprintable() and c not in '"\\')
