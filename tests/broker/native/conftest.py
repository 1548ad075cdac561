"""Certificates for listeners, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real_ends import program


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA (ca.pem), a broker's certificate (cert.pem, key.pem) and a client's (client.…)."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extra").write_text(  # key identifiers, which Python 3.13 asks for
        "subjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )

    def openssl(*arguments: str) -> None:
        subprocess.run(
            [program("openssl"), *arguments], cwd=folder, check=True, capture_output=True
        )

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        *("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Our CA"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    for prefix, name in (("", "broker"), ("client.", "client")):
        openssl(
            *("req", *new_key, "-keyout", f"{prefix}key.pem"),
            *("-out", "request", "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", f"{prefix}cert.pem", "-extfile", "extra"),
        )
    return folder
