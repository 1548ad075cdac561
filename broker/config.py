"""The `broker:` section of the config: which engine, where it listens, or where it is."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from broker.link import Endpoint, LinkTls

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


def check_url(url: str) -> str:
    """Return `url` if it names a broker: scheme://host[:port], for WebSocket also a path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must be a url, as in mqtt://127.0.0.1:1883 or mqtt://[::1]") from None
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
    if "?" in url or "#" in url:
        raise ValueError("has a query or a fragment, which no broker address knows")
    return url


BrokerUrl = Annotated[str, AfterValidator(check_url)]


class BrokerConfig(BaseModel):
    """Which broker: carried inside (`amqtt`) or one that runs elsewhere (`external`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["native", "amqtt", "external"] = Field(
        default="amqtt", description="amqtt runs inside, on this machine alone; external elsewhere."
    )
    listeners: list[BrokerUrl] = Field(
        default=["mqtt://127.0.0.1:1883"],
        min_length=1,
        max_length=16,
        description="Where the broker inside listens; port 0 takes a free one.",
    )
    anonymous: bool = Field(
        default=True, description="Whether clients without a login get in, where no users exist."
    )

    url: BrokerUrl | None = Field(default=None, description="Where the external broker is.")
    username: str | None = Field(default=None, description="Our login at the external broker.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    ca_file: str | None = Field(default=None, description="Who signs its certificate (PEM).")
    cert_file: str | None = Field(default=None, description="Our own certificate (PEM).")
    key_file: str | None = Field(default=None, description="The key of our certificate (PEM).")
    version: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="Which MQTT to speak there; auto tries 5 first."
    )

    @model_validator(mode="after")
    def _engine_has_what_it_needs(self) -> BrokerConfig:
        external_keys = (
            "url", "username", "password", "ca_file", "cert_file", "key_file", "version",
        )  # fmt: skip
        if self.engine == "external":
            if self.url is None:
                raise ValueError("engine external needs a url, as in mqtt://192.168.1.10:1883")
            if "listeners" in self.model_fields_set:
                raise ValueError("engine external doesn't listen: take `listeners` away")
            if urlsplit(self.url).port == 0:
                raise ValueError("url names port 0, at which no broker can be reached")
            if (self.cert_file is None) != (self.key_file is None):
                raise ValueError("cert_file and key_file belong together: give both or neither")
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
