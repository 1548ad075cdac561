"""What `fieldgate.yaml` may say: the models, from which `fieldgate schema` comes too."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from broker.config import BrokerConfig
from broker.topics import check_filter
from gateway.address import (
    check_address,
    check_base_path,
    check_network,
    check_origin,
    split_address,
)
from gateway.claim import Claim, clashes
from gateway.decoders import DecoderConfig
from gateway.framers import FramingConfig
from gateway.home_assistant.config import HomeAssistantConfig
from gateway.points.config import PointConfig, Slug
from gateway.points.names import RESERVED_POINTS
from gateway.points.report import ReportConfig
from gateway.readers import ReaderConfig
from gateway.readers.host import HostConfig
from gateway.readers.modbus import ModbusConfig
from gateway.readers.serial_config import SerialConfig
from gateway.section import Section

USERS_FILE = "users.yaml"
TOKENS_FILE = "tokens.json"
"""In the data folder."""

ROLES = frozenset({"broker", "readers", "web"})
"""What one process can be: all of them, or some by `run --only`."""

RESERVED_DEVICES = frozenset({"bridge"})
MAX_DEVICES = 256
MAX_POINTS = 256
MIN_HISTORY_MB = 16


def _not_reserved(name: str, reserved: frozenset[str]) -> str:
    if name in reserved:
        raise ValueError(f"is a topic of the gateway's own: any name but {_listed(reserved)}")
    return name


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _off_or_useful(size_mb: int) -> int:
    if 0 < size_mb < MIN_HISTORY_MB:
        raise ValueError(f"is too small: at least {MIN_HISTORY_MB}, or 0 to record nothing")
    return size_mb


DeviceName = Annotated[Slug, AfterValidator(lambda name: _not_reserved(name, RESERVED_DEVICES))]
PointName = Annotated[Slug, AfterValidator(lambda name: _not_reserved(name, RESERVED_POINTS))]
TopicFilter = Annotated[str, AfterValidator(check_filter)]


class DeviceConfig(Section):
    """One device: the reader that reaches it, the decoder for what it says, and its points."""

    name: DeviceName = Field(
        description="The device's topic level: small letters, digits, _ and -; not `bridge`."
    )
    id: Slug = Field(
        default_factory=lambda fields: str(fields["name"]),
        description="Its identity for Home Assistant and history, to keep when the name changes;"
        " the name where not given.",
    )
    title: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="What people call it; the name where not given."
    )
    manufacturer: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Who made it, for Home Assistant."
    )
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="What its maker calls it, for Home Assistant."
    )
    reader: ReaderConfig = Field(description="How to reach the hardware.")
    framing: FramingConfig | None = Field(
        default=None,
        description="How what the hardware says is cut into frames, for serial, command and"
        " replay; by lines where not given.",
    )
    decoder: DecoderConfig | None = Field(
        default=None,
        description="How to make values of what the hardware says; host and modbus need none.",
    )
    points: dict[
        PointName,
        Annotated[
            PointConfig,
            BeforeValidator(
                lambda given: {} if given is None else given,
                json_schema_input_type=PointConfig | None,
            ),
        ],
    ] = Field(
        default={},
        max_length=MAX_POINTS,
        description="What is known about the points, by name. Fields that are not named here"
        " become points too.",
    )
    only_listed: bool = Field(
        default=False, description="Publish only the points that `points` names."
    )
    report: ReportConfig = Field(
        default=ReportConfig(),
        description="When values are published, for all points: what a point's own `report`"
        " leaves out. With max_per_s, the device's state keeps to it as well.",
    )

    command_timeout_s: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=5.0,
        description="How long a command waits, once written, for the hardware to say it back.",
    )

    @model_validator(mode="after")
    def _readers_write_as_they_can(self) -> DeviceConfig:
        for name, point in self.points.items():
            if point.write is not None:
                self._check_writing(name, by_template=point.write is not True)
        return self

    def _check_writing(self, name: str, *, by_template: bool) -> None:
        match self.reader:
            case SerialConfig():
                if not by_template:
                    raise ValueError(
                        f"points.{name}.write: reader serial needs to know what to send, as in"
                        ' write: "PUMP {value}\\n"'
                    )
            case ModbusConfig():
                if by_template:
                    raise ValueError(f"points.{name}.write: reader modbus needs no text: say true")
                if (register := self.reader.registers.get(name)) is None:
                    raise ValueError(f"points.{name}.write: no register is called {name}")
                if not register.is_writable:
                    raise ValueError(
                        f"points.{name}.write: its register lies in the table {register.table},"
                        " which can only be read"
                    )
            case _:
                raise ValueError(
                    f"points.{name}.write: reader {self.reader.type} can't write: take it away"
                )

    @model_validator(mode="after")
    def _decoder_where_one_is_needed(self) -> DeviceConfig:
        if self.reader.type in ("host", "modbus"):
            for key, section in (("decoder", self.decoder), ("framing", self.framing)):
                if section is not None:
                    raise ValueError(
                        f"reader {self.reader.type} has values at once: take `{key}` away"
                    )
        elif self.decoder is None:
            raise ValueError(
                f"reader {self.reader.type} needs a decoder: json, key_value, csv, regex or"
                " struct, as in decoder: {type: key_value}"
            )
        return self


class WebConfig(Section):
    """The one HTTP port: dashboard, WebSocket, events and API."""

    listen: Annotated[str, AfterValidator(check_address)] = Field(
        default="127.0.0.1:8088",
        description="host:port to listen on; port 0 takes a free one.",
        examples=["127.0.0.1:8088"],
    )
    base_path: Annotated[str, AfterValidator(check_base_path)] = Field(
        default="",
        description="The path it lives under behind a proxy.",
        examples=["/fieldgate"],
    )
    origins: list[Annotated[str, AfterValidator(check_origin)]] = Field(
        default=[],
        max_length=64,
        description="Other sites whose pages may talk to it.",
        examples=[["https://panel.example"]],
    )
    trusted_proxies: list[Annotated[str, AfterValidator(check_network)]] = Field(
        default=[],
        max_length=64,
        description="IP addresses and networks of proxies whose X-Forwarded-For is believed.",
    )
    topics: list[TopicFilter] = Field(
        default=["#"],
        min_length=1,
        max_length=64,
        description="Topic filters that it subscribes to at the broker.",
    )
    node: Slug | None = Field(
        default=None,
        description="Its name among the web servers of one broker, below bridge/web; where not"
        " given, the machine's name and the port.",
        examples=["hall"],
    )

    @property
    def address(self) -> tuple[str, int]:
        """Host (an IPv6 address without brackets) and port of `listen`."""
        return split_address(self.listen)


class RecordedTopicsConfig(Section):
    """Topics whose numbers are recorded: bare payloads, or fields of their JSON."""

    topic: TopicFilter = Field(description="A topic filter.", examples=["zigbee2mqtt/+"])
    fields: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[],
        max_length=64,
        description="Fields of the JSON payload; a dot leads into an object. Without any, the"
        " payload itself is the number.",
        examples=[["temperature", "battery.voltage"]],
    )


class HistoryConfig(Section):
    """What numeric values were, kept in the data folder."""

    topics: list[
        Annotated[
            RecordedTopicsConfig,
            BeforeValidator(
                lambda given: {"topic": given} if isinstance(given, str) else given,
                json_schema_input_type=RecordedTopicsConfig | str,
            ),
        ]
    ] = Field(
        default=[],
        max_length=64,
        description="What is recorded besides the points of devices, each a topic filter alone or"
        " with the fields of its JSON.",
        examples=[["zigbee2mqtt/+/illuminance", {"topic": "zigbee2mqtt/+", "fields": ["power"]}]],
    )
    raw_days: float = Field(
        default=1,
        ge=1,
        le=3660,
        description="How many days every second is kept; minutes and hours stay while there is"
        " room.",
    )
    size_mb: Annotated[int, Field(le=1_000_000), AfterValidator(_off_or_useful)] = Field(
        default=1000,
        ge=0,
        description="How large the files of history may grow, in MB; at least 16, or 0 to record"
        " nothing.",
    )


class Config(Section):
    """The whole of `fieldgate.yaml`."""

    base_topic: Annotated[str, Field(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$", max_length=200)] = (
        Field(default="fieldgate", description="What all our topics begin with.")
    )
    broker: BrokerConfig = Field(
        default_factory=BrokerConfig, description="The MQTT broker: carried inside, or elsewhere."
    )
    web: WebConfig = Field(default_factory=WebConfig, description="The page and its API.")
    data: Path = Field(
        default=Path("./data"), description="Folder of the files that Fieldgate keeps."
    )
    users_file: Path | None = Field(
        default=None,
        description="Users and their rules; users.yaml beside the config file where not given.",
    )
    devices: list[DeviceConfig] = Field(
        default_factory=lambda: [DeviceConfig(name="host", reader=HostConfig(type="host"))],
        max_length=MAX_DEVICES,
        description="The hardware. Where not given: this machine itself, as `host`.",
    )
    history: HistoryConfig = Field(
        default_factory=HistoryConfig, description="What numeric values were."
    )
    home_assistant: HomeAssistantConfig = Field(
        default_factory=HomeAssistantConfig,
        description="Whether and how Home Assistant hears of the devices.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much to say on standard error."
    )

    _beside: Path = PrivateAttr(default=Path(USERS_FILE))

    def model_post_init(self, context: object) -> None:
        """Take the config file's folder from the validation's context, where there is one."""
        if isinstance(context, Path):
            self._beside = context / USERS_FILE

    @property
    def users_path(self) -> Path:
        """Where the users are, or are to be written: `users_file`, or beside the config file."""
        return self.users_file or self._beside

    def entrances(self, roles: Collection[str]) -> dict[str, str]:
        """The hosts that these roles listen on, by what they are called here."""
        found: dict[str, str] = {}
        if "web" in roles:
            found[f"web.listen {self.web.listen}"] = self.web.address[0]
        if "broker" in roles and self.broker.engine != "external":
            for url in self.broker.listeners:
                found[f"broker.listeners {url}"] = urlsplit(url).hostname or ""
        return found

    @model_validator(mode="after")
    def _devices_keep_apart(self) -> Config:
        claims = [
            Claim(
                device.name,
                device.id,
                getattr(device.reader, "port", None),
                getattr(device.reader, "line", None),
                str(match) if (match := getattr(device.reader, "match", None)) else None,
            )
            for device in self.devices
        ]
        if found := list(clashes(claims)):
            raise ValidationError.from_exception_data(
                "Config",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("clash", "{why}", {"why": clash.why}),
                        loc=clash.path,
                        input=clash.value,
                    )
                    for clash in found
                ],
            )
        return self
