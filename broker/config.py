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


class BrokerTls(BaseModel):
    """The certificate that mqtts:// and wss:// listeners show, and whom they ask for one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert_file: str = Field(description="Our certificate, then those between it and its CA (PEM).")
    key_file: str = Field(description="The key of our certificate (PEM), without a password.")
    client_ca_file: str | None = Field(
        default=None, description="Who signs clients' certificates (PEM); then they need one."
    )


class BrokerConfig(BaseModel):
    """Which broker: carried inside (`native`, `amqtt`) or one that runs elsewhere (`external`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["native", "amqtt", "external"] = Field(
        default="native",
        description="native and amqtt run inside, amqtt for this machine only; external elsewhere.",
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
    tls: BrokerTls | None = Field(
        default=None, description="The certificate of mqtts:// and wss:// listeners."
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="What an acknowledged message outlives: the end of the process, or also a"
        " power cut, for a write to the disk each time.",
    )
    max_keep_alive_s: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The longest keep-alive, in seconds, that MQTT 5 clients are told to keep to.",
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
            if self.tls is not None:
                raise ValueError(
                    "engine external doesn't listen: its own TLS keys are ca_file,"
                    " cert_file and key_file, so take `tls` away"
                )
            if urlsplit(self.url).port == 0:
                raise ValueError("url names port 0, at which no broker can be reached")
            if (self.cert_file is None) != (self.key_file is None):
                raise ValueError("cert_file and key_file belong together: give both or neither")
        elif extra := [key for key in external_keys if key in self.model_fields_set]:
            raise ValueError(
                f"engine {self.engine} runs inside and takes no {', '.join(extra)}:"
                " that is for engine: external"
            )
        native_keys = [
            key for key in ("durability", "max_keep_alive_s") if key in self.model_fields_set
        ]
        if native_keys and self.engine != "native":
            raise ValueError(
                f"engine {self.engine} takes no {', '.join(native_keys)}:"
                " that is for engine: native"
            )
        self._check_tls()
        return self

    def _check_tls(self) -> None:
        encrypted = [url for url in self.listeners if urlsplit(url).scheme in ("mqtts", "wss")]
        if self.engine == "native" and encrypted and self.tls is None:
            raise ValueError(
                f"the listener {encrypted[0]} needs a certificate:"
                " give tls: {cert_file: …, key_file: …}"
            )
        if self.engine == "amqtt" and self.tls is not None:
            raise ValueError("engine amqtt has no TLS: take `tls` away, or set engine: native")
        if self.tls is not None and not encrypted:
            raise ValueError(
                "tls is of no use, as no listener begins with mqtts:// or wss://:"
                " name one in listeners, or take `tls` away"
            )

    def endpoint(self) -> Endpoint:
        """Where our own links connect: the external broker, or the first listener."""
        if self.engine != "external":
            # Our own certificate names whatever others call this machine, and any CA may have
            # signed it; but it lies here, so we know it when we see it.
            pinned_file = self.tls.cert_file if self.tls else None
            return Endpoint(self.listeners[0], tls=LinkTls(pinned_file=pinned_file))
        assert self.url is not None
        return Endpoint(
            self.url,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            tls=LinkTls(self.ca_file, self.cert_file, self.key_file),
            version=self.version,
        )
