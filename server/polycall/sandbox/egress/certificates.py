"""The authority that sandboxes trust: it lives as long as the server, its key never leaves its memory.

Where credentials are added, TLS has to end here. A run finds the authority's certificate beside the system's.
"""

from __future__ import annotations

import collections
import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "system_certificates"]

# A server that is not restarted for longer makes a new leaf when the old one leaves the cache; the authority's own
# certificate has to outlive them all.
_AUTHORITY_LIFE = datetime.timedelta(days=3650)
_LEAF_LIFE = datetime.timedelta(days=30)
# Clocks differ, between this process and a run never.
_BACKDATED = datetime.timedelta(hours=1)
# A context takes some 60 KiB. Hosts with credentials are few, but `*.example.com` stands for many.
_CONTEXTS = 256
# A leaf is made anew long before it expires.
_RENEWED = datetime.timedelta(days=7)

# Debian and Alpine; Fedora; openSUSE; FreeBSD and macOS are no homes of sandboxes.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def system_certificates() -> str | None:
    """Return the file of the system's trusted certificates (PEM); None if there is none."""
    return next(filter(os.path.isfile, filter(None, (os.environ.get("SSL_CERT_FILE"), *_BUNDLES))), None)


class Authority:
    """Makes certificates for hosts: EC P-256, one key for all of them, since one process holds it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: collections.OrderedDict[str, tuple[datetime.datetime, ssl.SSLContext]] = (
            collections.OrderedDict()
        )
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "polycall egress")])
        self.certificate = self._sign_itself().public_bytes(serialization.Encoding.PEM)

    def _sign_itself(self) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def context(self, host: str) -> ssl.SSLContext:
        """Return what TLS with a run needs to be ``host``, a name or an address."""
        now = datetime.datetime.now(datetime.UTC)
        made, context = self._contexts.pop(host, (None, None))
        if made is None or context is None or now - made > _RENEWED:
            made, context = now, self._make(host, now)
        self._contexts[host] = made, context
        if len(self._contexts) > _CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _make(self, host: str, now: datetime.datetime) -> ssl.SSLContext:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(self._leaf_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _LEAF_LIFE)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._leaf_key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        pem = leaf.public_bytes(serialization.Encoding.PEM) + self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # the standard library takes certificates from files only; this one is on no disk
        fd = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(fd, pem)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return context
