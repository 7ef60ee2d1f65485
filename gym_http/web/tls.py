"""What Granian has to know to serve https, looked at first: of what it can't use it says nothing
that a person could go by."""

from __future__ import annotations

import base64
import re
import ssl
from pathlib import Path
from typing import Any

from granian.constants import SSLProtocols

from gym_http.settings import Settings

# How the kinds that Granian's library takes are named in a key: as ASN.1 writes their object ids.
# With another kind, the worker would come up only to die. Source: RFC 8017, 5480 and 8410.
KINDS = {
    "RSA": "2a864886f70d010101",
    "P-256": "2a8648ce3d030107",
    "P-384": "2b81040022",
    "Ed25519": "2b6570",
}
KEYS = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----(.*?)-----END", re.DOTALL)


class BadCertificate(Exception):
    """A file that https needs can't be read, or isn't what it has to be."""


def options(settings: Settings) -> dict[str, Any]:
    """Granian's arguments for https, none where there is no certificate. Raises BadCertificate."""
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is None or key is None:
        return {}
    for option, path in (("tls-cert", cert), ("tls-client-ca", client_ca)):
        if path is not None:
            _check_certificates(option, path)
    _check_key(key, cert)
    return {
        "ssl_cert": cert,
        "ssl_key": key,
        "ssl_protocol_min": SSLProtocols.tls12,  # for clients that have nothing newer
        "ssl_ca": client_ca,
        "ssl_client_verify": client_ca is not None,
    }


def _check_certificates(option: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except ssl.SSLError as error:
        raise BadCertificate(f"--{option} {path}: there is no certificate in PEM in it") from error
    except OSError as error:
        raise BadCertificate(f"--{option} {path}: {error.strerror}") from error


def _check_key(path: Path, cert: Path) -> None:
    try:
        text = path.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, path, _no_password)
    except _Encrypted as error:
        why = f"it has a password; openssl pkey -in {path} -out FILE writes it without"
        raise BadCertificate(f"--tls-key {path}: {why}") from error
    except ssl.SSLError as error:
        known = {"KEY_VALUES_MISMATCH": f"it isn't the key of {cert}"}
        why = known.get(error.reason, "it is no private key in PEM")
        if "TOO_SMALL" in (error.reason or "") or "TOO_WEAK" in (error.reason or ""):
            why = f"{cert} is too weak: {error.reason}"
        raise BadCertificate(f"--tls-key {path}: {why}") from error
    except OSError as error:
        raise BadCertificate(f"--tls-key {path}: {error.strerror}") from error
    for label, body in KEYS.findall(text):
        key = base64.b64decode(body)  # of what OpenSSL could read
        if label != b"RSA " and not any(bytes.fromhex(kind) in key for kind in KINDS.values()):
            kinds = ", ".join(KINDS)
            raise BadCertificate(f"--tls-key {path}: keys that can be used are {kinds}")


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    """In place of OpenSSL's own question on the terminal."""
    raise _Encrypted
