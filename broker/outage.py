"""Why a broker is away, as one sentence for the person who can mend it."""

from __future__ import annotations

import socket
import ssl

from websockets.exceptions import InvalidHandshake, InvalidStatus

from broker.link import Endpoint

VERSION_REFUSED = 0x84  # MQTT 5, table 2-6; a return code 1 of 3.1.1 is mapped to it, too
_CLIENT_ID_REFUSED = 0x85
_BAD_LOGIN = 0x86
_NOT_AUTHORIZED = 0x87
_KEEP_ALIVE_TIMEOUT = 0x8D
_PROTOCOL_ERROR = 0x82


def why_not_opened(endpoint: Endpoint, error: Exception) -> str:
    """Why no connection came about, from what the system says."""
    url = endpoint.url
    match error:
        case socket.gaierror():
            return f"{url}: its host name can't be resolved ({error.strerror}): check the name"
        case ssl.SSLError():
            return _why_tls_fails(endpoint, error)
        case ConnectionRefusedError():
            return f"{url} refuses the connection: nothing listens there"
        case TimeoutError():
            return f"{url} doesn't answer: check host and port, and any firewall between"
        case InvalidStatus():
            return (
                f"{url} answers HTTP {error.response.status_code}, not as MQTT over WebSocket:"
                " check port and path"
            )
        case InvalidHandshake():
            return f"{url} doesn't speak MQTT over WebSocket: {error}"
        case EOFError() | ConnectionResetError():
            return f"{url} closes the connection at once: is this the right port and scheme?"
        case OSError():
            return f"{url} can't be reached: {error.strerror or error}"
        case _:
            return f"{url} can't be connected to: {error}"


def _why_tls_fails(endpoint: Endpoint, error: ssl.SSLError) -> str:
    url, pinned_file = endpoint.url, endpoint.tls.pinned_file
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{url} doesn't agree on TLS with us ({error.reason}): is this its TLS port?"
    if pinned_file is not None:
        return (
            f"{url} doesn't show the certificate in {pinned_file}, or that is out of date:"
            f" {error.verify_message}"
        )
    return (
        f"{url}: certificate verify failed: {error.verify_message}; if the broker's"
        " certificate is of a CA of your own, name that CA's file as ca_file"
    )


def why_tls_files_fail(endpoint: Endpoint, error: OSError) -> str:
    """Why our own side of TLS can't be set up."""
    tls = endpoint.tls
    files = (tls.ca_file, tls.cert_file, tls.key_file, tls.pinned_file)
    named = ", ".join(file for file in files if file)
    what = error.reason or str(error) if isinstance(error, ssl.SSLError) else error.strerror
    return f"{endpoint.url}: of the TLS files {named} one can't be used: {what}"


def why_refused(endpoint: Endpoint, code: int, name: str) -> str:
    """Why the broker answered CONNECT with a refusal."""
    url = endpoint.url
    if code in (_BAD_LOGIN, _NOT_AUTHORIZED):
        if endpoint.username is None:
            return f"{url} wants a user name and a password: set username and password"
        return f"{url} refuses our user name or password ({name}): check username and password"
    if code == VERSION_REFUSED:
        return f"{url} doesn't speak MQTT {endpoint.version}: set version: auto"
    if code == _CLIENT_ID_REFUSED:
        return f"{url} refuses our client id ({name}): allow ids that begin with fieldgate-"
    return f"{url} refuses us: {name}"


def why_ended(
    endpoint: Endpoint, *, was_accepted: bool, by_packet: bool, code: int, name: str
) -> str:
    """Why a connection is gone that had been opened."""
    url = endpoint.url
    if not was_accepted:
        return f"{url} closes the connection without an answer: is it an MQTT broker?"
    if by_packet:
        return f"{url} ended the connection: {name}"
    if code == _KEEP_ALIVE_TIMEOUT:
        return f"{url} has stopped answering: no reply to our ping"
    if code == _PROTOCOL_ERROR:
        return f"{url} sent what is no MQTT"
    return f"{url} closed the connection"
