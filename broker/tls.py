"""The certificates of listeners, and their renewal."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from broker.errors import EngineError
from broker.file_stamp import Stamp, stamp_of

HANDSHAKE_S = 10.0
"""How long a TLS handshake may take: a slow device needs two seconds."""

SHUTDOWN_S = 2.0

CHECK_S = 5.0
"""How soon changed files are taken up, for three stat() each time."""

log = logging.getLogger(__name__)


class ServerCertificate:
    """What new connections are shown: the files as they are now, or as they last were of use."""

    def __init__(
        self, cert_file: str, key_file: str, client_ca_file: str | None = None, *, section: str
    ) -> None:
        """See `server_context`; raises EngineError."""
        self._files = (cert_file, key_file, client_ca_file)
        self._section = section
        self._seen = self._stamps()
        self.context = self._load()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Take up changed files meanwhile; faulty ones are logged and not used."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            stamps = await asyncio.to_thread(self._stamps)
            if stamps == self._seen:
                continue
            self._seen = stamps
            try:
                self.context = await asyncio.to_thread(self._load)
            except EngineError as error:
                log.error("A changed certificate can't be used, the old one stays: %s", error)
            else:
                log.info("The certificate %s has changed: new connections get it", self._files[0])

    def _stamps(self) -> list[Stamp | None]:
        return [stamp_of(file) for file in self._files if file is not None]

    def _load(self) -> ssl.SSLContext:
        return server_context(*self._files, section=self._section)


def server_context(
    cert_file: str, key_file: str, client_ca_file: str | None = None, *, section: str
) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with this certificate; with `client_ca_file` clients must show theirs.

    Raises EngineError, which names the file and its key in the config's `section`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could ask for it without end
    for key, file in (("cert_file", cert_file), ("key_file", key_file)):
        _check_readable(f"{section}.{key}", file)
    try:
        # The password is given, since else OpenSSL would ask for it on the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        raise EngineError(
            f"{section}: {cert_file} and {key_file} are no certificate and its key, both in PEM"
            f" and the key without a password: {_reason(error)}"
        ) from None
    if client_ca_file is not None:
        _check_readable(f"{section}.client_ca_file", client_ca_file)
        try:
            context.load_verify_locations(client_ca_file)
        except ssl.SSLError as error:
            raise EngineError(
                f"{section}.client_ca_file: {client_ca_file} holds no certificates in PEM:"
                f" {_reason(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_readable(key: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise EngineError(f"{key}: {file} can't be read: {error.strerror}") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
