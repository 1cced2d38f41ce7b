"""Our own certificate authority and the exchange's TLS certificate, made at first start."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from encryptotel.errors import UserError
from pbx.sip.stack import address_towards

CA_YEARS = 10
SERVER_DAYS = 397
"Longer ones are refused by some phones."
RENEW_BEFORE = timedelta(days=30)


class CertificateError(UserError):
    """A certificate cannot be used; the text says which and why."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files: the authority phones should trust, and our certificate with its key."""

    ca: Path
    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS for phones that connect to us: 1.2 and newer. Raises `CertificateError`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_into(context)
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let a context show this certificate from its next handshake on. Raises
        `CertificateError`; then it goes on with the one it had."""
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CertificateError(
                f"the certificate {self.certificate} with the key {self.key} cannot be used: "
                f"{reason}"
            ) from error

    def replaced_by(self, certificate: str, key: str, folder: Path) -> Certificates:
        """The same with a certificate of the person's own, if they named one; paths may be
        relative to `folder`."""
        if not certificate:
            return self
        return dataclasses.replace(self, certificate=folder / certificate, key=folder / key)

    def client_context(self) -> ssl.SSLContext:
        """TLS for a client that trusts our authority, such as a demo phone."""
        return ssl.create_default_context(cafile=str(self.ca))


def _no_password() -> str:
    """Asked for when a key is encrypted; without this, OpenSSL would ask at the terminal."""
    raise ValueError("the key needs a password; store it without one")


def ensure(folder: Path, names: list[str]) -> Certificates:
    """The certificates in `folder`, made or renewed when needed for these host names and
    addresses. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Certificates(
        ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    ca_key_file = folder / "ca.key"
    if not (found.ca.exists() and ca_key_file.exists()):
        _make_ca(found.ca, ca_key_file)
        found.certificate.unlink(missing_ok=True)
    if not _still_good(found, names):
        _make_server(found, ca_key_file, names)
    return found


def names_for(
    host: str, advertise: str, domain: str, public: str = "", more: Sequence[str] = ()
) -> list[str]:
    """What phones may call us by."""
    names = [domain, "localhost", socket.gethostname(), "127.0.0.1", advertise, public, *more]
    if host not in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        names.append(host)
    if host == "::":
        names += ["::1", address_towards("2001:db8::1")]
    return list(dict.fromkeys(name for name in names if name))


def _make_ca(file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EncryptoTel private authority")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_file, key)
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _make_server(files: Certificates, ca_key_file: Path, names: list[str]) -> None:
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=SERVER_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    _write_key(files.key, key)
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _still_good(files: Certificates, names: list[str]) -> bool:
    if not (files.certificate.exists() and files.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    if certificate.not_valid_after_utc - datetime.now(UTC) < RENEW_BEFORE:
        return False
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(_alternatives(names)) <= set(found)


def _alternatives(names: list[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        with contextlib.suppress(ValueError):
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        found.append(x509.DNSName(name))  # addresses too: mbed TLS (Linphone) looks only here
    return found


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(pem)
