"""ejabberd 23 as another Jabber server for the same domain, with STARTTLS required.

Run by `erl` itself and not distributed: that leaves no `epmd` behind. Accounts are made over its
HTTP API, which only loopback may use.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self

from aiohttp import ClientSession

from .certs import Certificate
from .ports import HOST, free_port, wait_bound
from .proc import PeerError, Process
from .prosody import DOMAIN, NUMBERS, SECRET

_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_CONFIG = """
hosts: ["{domain}"]
loglevel: info
certfiles: ["{folder}/server.pem"]
listen:
  - {{ port: {port}, ip: "{host}", module: ejabberd_c2s, starttls_required: true }}
  - port: {component}
    ip: "{host}"
    module: ejabberd_service
    hosts: {{ "{numbers}": {{ password: "{secret}" }} }}
  - port: {api}
    ip: "{host}"
    module: ejabberd_http
    request_handlers: {{ /api: mod_http_api }}
  - port: {https}
    ip: "{host}"
    module: ejabberd_http
    tls: true
    request_handlers: {{ /upload: mod_http_upload }}
api_permissions:
  "accounts": {{ who: {{ ip: "127.0.0.1/8" }}, what: ["register"] }}
auth_method: internal
acl: {{ local: {{ user_regexp: "" }} }}
access_rules: {{ local: {{ allow: local }} }}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_ping: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_offline: {{}}
  mod_stream_mgmt: {{ resend_on_timeout: if_offline }}
  mod_pubsub:
    plugins: [flat, pep]
    max_items_node: 1000
  mod_muc: {{ host: "rooms.@HOST@", default_room_options: {{ anonymous: false }} }}
  mod_http_upload:
    host: "upload.@HOST@"
    docroot: "{folder}/upload"
    put_url: "https://localhost:{https}/upload"
"""


class Ejabberd:
    """`async with Ejabberd(certificate) as server:`"""

    def __init__(self, certificate: Certificate) -> None:
        self.ca = certificate.ca
        self._certificate = certificate
        self._folder = tempfile.TemporaryDirectory(prefix="ejabberd-", ignore_cleanup_errors=True)
        self.port, self._api, self._https = free_port(), free_port(), free_port()
        self.component = free_port()
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        pem = self._certificate.certificate.read_text() + self._certificate.key.read_text()
        (folder / "server.pem").write_text(pem)
        (folder / "ejabberd.yml").write_text(
            _CONFIG.format(
                domain=DOMAIN,
                folder=folder,
                host=HOST,
                port=self.port,
                component=self.component,
                numbers=NUMBERS,
                secret=SECRET,
                api=self._api,
                https=self._https,
            )
        )
        erl = shutil.which("erl")
        assert erl is not None
        self._process = await Process.start(
            "ejabberd",
            [
                erl, "+K", "true", "-noinput", "-mnesia", "dir", f'"{folder}/mnesia"',
                "-ejabberd", "log_rotate_size", "0", "-s", "ejabberd",
            ],
            cwd=folder,
            env={
                "EJABBERD_CONFIG_PATH": str(folder / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(folder / "ejabberd.log"),
                "ERL_LIBS": _LIBRARIES,
                "HOME": str(folder),
            },
        )  # fmt: skip
        try:
            await wait_bound(self.port, "tcp", 30)
        except Exception:
            print((folder / "ejabberd.log").read_text(errors="replace")[-3000:])
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        await self._process.stop()
        self._folder.cleanup()

    async def register(self, name: str, password: str) -> str:
        """A new account; its address."""
        account = {"user": name, "host": DOMAIN, "password": password}
        address = f"http://{HOST}:{self._api}/api/register"
        async with ClientSession() as session, session.post(address, json=account) as got:
            if got.status != 200:
                raise PeerError(f"ejabberd could not register {name}: {await got.text()}")
        return f"{name}@{DOMAIN}"
