"""The `broker:` section of the config: which engine, where it listens, or where it is."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from broker.link import Endpoint, LinkTls

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


def check_url(url: str) -> str:
    """Return `url` if it names a broker: scheme://host[:port], for WebSocket also a path."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"must begin with one of {', '.join(f'{s}://' for s in DEFAULT_PORTS)}")
    if "@" in parts.netloc:
        raise ValueError("holds a user or password: use the keys username and password")
    if not parts.hostname:
        raise ValueError("names no host, as in mqtt://127.0.0.1:1883")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("names a port that is not a number from 0 to 65535") from None
    if port is None and url.endswith(":"):
        raise ValueError("names no port after the colon")
    if parts.path not in ("", "/") and parts.scheme in ("mqtt", "mqtts"):
        raise ValueError("has a path, which only ws:// and wss:// know")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment, which no broker address knows")
    return url


BrokerUrl = Annotated[str, AfterValidator(check_url)]


class TlsConfig(BaseModel):
    """Certificate files (PEM) of a TLS listener."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert_file: str
    key_file: str
    client_ca_file: str | None = None


class BrokerConfig(BaseModel):
    """Which broker: carried inside (`amqtt`) or one that runs elsewhere (`external`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["amqtt", "external"] = "amqtt"
    listeners: list[BrokerUrl] = Field(default=["mqtt://127.0.0.1:1883"], min_length=1)
    anonymous: bool = True
    tls: TlsConfig | None = None

    url: BrokerUrl | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    version: Literal["auto", "5", "3.1.1"] = "auto"

    @model_validator(mode="after")
    def _engine_has_what_it_needs(self) -> BrokerConfig:
        external_keys = ("url", "username", "password", "ca_file", "cert_file", "key_file")
        if self.engine == "external":
            if self.url is None:
                raise ValueError("engine external needs a url, as in mqtt://192.168.1.10:1883")
            if "listeners" in self.model_fields_set:
                raise ValueError("engine external doesn't listen: take `listeners` away")
        elif extra := [key for key in external_keys if key in self.model_fields_set]:
            raise ValueError(
                f"engine {self.engine} runs inside and takes no {', '.join(extra)}:"
                " that is for engine: external"
            )
        return self

    def endpoint(self) -> Endpoint:
        """Where our own links connect: the external broker, or the first listener."""
        if self.engine != "external":
            return Endpoint(self.listeners[0])
        assert self.url is not None
        return Endpoint(
            self.url,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            tls=LinkTls(self.ca_file, self.cert_file, self.key_file),
            version=self.version,
        )
