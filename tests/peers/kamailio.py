"""Kamailio 5.6 as the telephone company: registrar with digest, two sides, no media.

The *access* side (UDP, TCP, optionally TLS) is for customers: our exchange, or phones in the self
check. They REGISTER and are challenged (401), their calls are challenged too (407). The *network*
side (UDP, another port) is the telephone network: what comes from there is trusted, a DID is
looked up and sent to where its owner registered; what customers call and is no customer goes out
there to `network`. Both sides record-route, so a call carries two Record-Route headers.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from . import ports
from .certs import Certificate
from .proc import PeerError, Process

MODULES = Path("/usr/lib/x86_64-linux-gnu/kamailio/modules")
_LOAD = (
    "tm", "tmx", "sl", "rr", "pv", "maxfwd", "usrloc", "registrar", "textops", "siputils",
    "xlog", "auth", "nathelper", "htable", "kex", "corex",
)  # fmt: skip

_CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:127.0.0.1:{access}
listen=tcp:127.0.0.1:{access}
listen=udp:127.0.0.1:{network_side}
{tls_listen}
mpath="{modules}"
{load}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "received_avp", "$avp(received)")
modparam("nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_expires", {max_expires})
modparam("registrar", "min_expires", 1)
modparam("registrar", "default_expires", 60)
modparam("auth", "algorithm", "{algorithm}")
modparam("rr", "enable_double_rr", 1)
modparam("htable", "htable", "users=>size=8;")
modparam("htable", "htable", "dids=>size=8;")
{tls_params}

event_route[htable:mod-init] {{
{tables}
}}

request_route {{
    force_rport();
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ handle_ruri_alias(); t_on_reply("NAT"); t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
        if (!is_method("ACK")) sl_send_reply("404", "Not here");
        exit;
    }}
    t_check_trans();
    if (is_present_hf("Route")) xlog("L_NOTICE", "peer: $rm by the route $hdr(Route)\\n");
    remove_hf("Route");
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
        if ($au == $null || !pv_www_authenticate("{realm}", "$sht(users=>$au)", "0")) {{
            www_challenge("{realm}", "1"); exit;
        }}
        if ($au != $tU) {{ sl_send_reply("403", "Forbidden"); exit; }}
        fix_nated_register();
        if (!save("location")) {{ sl_reply_error(); exit; }}
        if (registered("location", "$tu")) xlog("L_NOTICE", "peer: registered $tU at $si:$sp\\n");
        else xlog("L_NOTICE", "peer: unregistered $tU\\n");
        exit;
    }}
    if (!is_method("INVITE|MESSAGE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    if ($Rp == {network_side}) {{
        $vn(did) = $rU;
        if ($sht(dids=>$rU) == $null) {{ sl_send_reply("404", "No such number"); exit; }}
        $rU = $sht(dids=>$rU);
        route(CUSTOMER);
    }}
    if ($au == $null || !pv_{kind}_authenticate("{realm}", "$sht(users=>$au)", "0")) {{
        xlog("L_NOTICE", "peer: challenged $rm to $rU\\n");
        {kind}_challenge("{realm}", "1"); exit;
    }}
    consume_credentials();
    $vn(did) = $null;
    add_contact_alias();
    xlog("L_NOTICE", "peer: call from $au <$fU> to $rU\\n");
    if ($sht(users=>$rU) != $null) route(CUSTOMER);
    {outbound}
}}

route[CUSTOMER] {{
    if (!lookup("location")) {{ sl_send_reply("480", "Not registered"); exit; }}
    {did_in_uri}
    if ($(du{{uri.transport}}) == "tcp" || $(du{{uri.transport}}) == "tls")
        set_forward_no_connect();
    record_route();
    t_on_reply("NAT");
    t_relay();
    exit;
}}

onreply_route[NAT] {{ add_contact_alias(); }}
"""


class Kamailio:
    """One carrier; `async with Kamailio({{"account": "secret"}}, …)`."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        network: tuple[str, int] | None = None,
        dids: Mapping[str, str] | None = None,
        realm: str = "carrier.test",
        algorithm: str = "MD5",
        did_in_uri: bool = True,
        max_expires: int = 60,
        challenge: int = 407,
        tls: Certificate | None = None,
    ) -> None:
        """`users`: customer → password. `dids`: number → customer. `network`: where calls go.

        `algorithm`: "MD5" or "SHA-256". `challenge`: 407 or 401, for INVITE. Without `did_in_uri`
        the customer's Contact is called as it registered, and the number stands in To only.
        """
        self.users = dict(users)
        self.network = network
        self.dids = dict(dids or {})
        self.realm = realm
        self.algorithm = algorithm
        self.did_in_uri = did_in_uri
        self.max_expires = max_expires
        self.challenge = challenge
        self.tls = tls
        self.port = ports.free_port()
        self.network_port = ports.free_port()
        self.tls_port = ports.free_port() if tls else 0
        self.process: Process
        self._folder = tempfile.TemporaryDirectory(prefix="kamailio-", ignore_cleanup_errors=True)

    @property
    def access(self) -> tuple[str, int]:
        """The customers' side."""
        return (ports.HOST, self.port)

    @property
    def network_side(self) -> tuple[str, int]:
        """Where the telephone network sends calls for our numbers."""
        return (ports.HOST, self.network_port)

    def _config(self) -> str:
        load = list(_LOAD)
        tls_params = tls_listen = ""
        if self.tls is not None:
            load.append("tls")
            tls_listen = f"enable_tls=yes\nlisten=tls:127.0.0.1:{self.tls_port}"
            tls_params = (
                'modparam("tls", "tls_method", "TLSv1.2+")\n'
                f'modparam("tls", "certificate", "{self.tls.certificate}")\n'
                f'modparam("tls", "private_key", "{self.tls.key}")'
            )
        tables = [f'    $sht(users=>{user}) = "{word}";' for user, word in self.users.items()]
        tables += [f'    $sht(dids=>{did}) = "{user}";' for did, user in self.dids.items()]
        outbound = 'sl_send_reply("404", "No network"); exit;'
        if self.network is not None:
            host, port = self.network
            outbound = (
                f'$rd = "{host}"; $rp = {port}; $fs = "udp:127.0.0.1:{self.network_port}";\n'
                '    record_route(); t_on_reply("NAT"); t_relay(); exit;'
            )
        return _CONFIG.format(
            access=self.port,
            network_side=self.network_port,
            tls_listen=tls_listen,
            modules=MODULES,
            load="\n".join(f'loadmodule "{name}.so"' for name in load),
            max_expires=self.max_expires,
            algorithm="" if self.algorithm == "MD5" else self.algorithm,
            tls_params=tls_params,
            tables="\n".join(tables),
            realm=self.realm,
            kind="proxy" if self.challenge == 407 else "www",
            outbound=outbound,
            did_in_uri="if ($vn(did) != $null) $rU = $vn(did);" if self.did_in_uri else "",
        )

    async def __aenter__(self) -> Self:
        folder = Path(self._folder.name)
        (folder / "kamailio.cfg").write_text(self._config())
        self.process = await Process.start(
            "kamailio",
            ["kamailio", "-DD", "-E", "-f", folder / "kamailio.cfg", "-P", folder / "pid",
             "-Y", folder, "-w", folder, "-m", "32", "-M", "8"],
            cwd=folder,
        )  # fmt: skip
        try:
            await answering(self.process, self.access)
        except BaseException:
            await self.process.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.process.stop()
        self._folder.cleanup()

    async def registered(self, user: str, within: float = 10) -> None:
        """Wait until this customer has registered."""
        await self.process.wait_line(f"peer: registered {user} ", within)

    def log(self) -> str:
        return self.process.lines.tail()


async def answering(process: Process, address: tuple[str, int]) -> None:
    """OPTIONS until it is answered: only then do the workers run."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect(address)
        mine = "{}:{}".format(*probe.getsockname())
        ask = (
            f"OPTIONS sip:{address[0]}:{address[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {mine};branch=z9hG4bKprobe\r\nFrom: <sip:p@{mine}>;tag=p\r\n"
            f"To: <sip:{address[0]}>\r\nCall-ID: probe-{mine}\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
        )
        for _ in range(100):
            if process.child.returncode is not None:
                break
            try:
                await loop.sock_sendall(probe, ask.encode())
                async with asyncio.timeout(0.1):
                    if (await loop.sock_recv(probe, 4096)).startswith(b"SIP/2.0 200"):
                        return
            except (TimeoutError, ConnectionError):
                await asyncio.sleep(0.02)
    raise PeerError(f"kamailio does not answer\n{process.lines.tail()}")
