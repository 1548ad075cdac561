"""fieldgate.yaml and the environment become one true Config, or one ConfigError in sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, DeviceConfig
from gateway.config_file import MAX_BYTES, chosen_file, load
from gateway.errors import ConfigError
from gateway.readers.host import HostConfig
from gateway.readers.replay import ReplayConfig
from gateway.readers.serial_config import SerialConfig

README_EXAMPLE = """\
base_topic: fieldgate
broker:
  engine: native
  listeners: [mqtt://127.0.0.1:1883]
  anonymous: true
web:
  listen: 127.0.0.1:8088
data: ./data
devices:
  - name: boiler
    id: boiler
    reader: {type: serial, port: /dev/ttyUSB0, baudrate: 9600}
    decoder: {type: key_value}
    points: {temperature: {unit: "°C", device_class: temperature}}
"""

Load = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a text as fieldgate.yaml, with environment variables if given."""

    def load_it(text: str | bytes, **environ: str) -> Config:
        file = tmp_path / "fieldgate.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(file, environ)

    return load_it


NO_FIT = "this is no YAML: text that begins with [ or { needs quotes"


def problems(load_text: Load, text: str | bytes, **environ: str) -> list[str]:
    """What is wrong with a text, without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, **environ)
    return [re.sub(r"^\S*/(?=fieldgate\.yaml)", "", line) for line in str(caught.value).split("\n")]


# -- defaults and paths


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {})
    assert config.base_topic == "fieldgate"
    assert config.web.address == ("127.0.0.1", 8088)
    assert config.broker.listeners == ["mqtt://127.0.0.1:1883"]
    assert config.data == tmp_path / "data"
    assert config.users_file is None
    assert config.devices == [DeviceConfig(name="host", reader=HostConfig(type="host"))]
    assert config.devices[0].id == "host"


def test_fieldgate_yaml_in_the_working_directory_is_taken_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen_file() is None
    (tmp_path / "fieldgate.yaml").write_text("base_topic: plant\n")
    assert load(None, {}).base_topic == "plant"
    (tmp_path / "other.yaml").write_text("base_topic: other\n")
    assert load(Path("other.yaml"), {}).base_topic == "other"


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file_holds_the_defaults(load_text: Load, text: str) -> None:
    assert load_text(text) == load_text("base_topic: fieldgate\n")


def test_the_example_of_the_readme_is_fine(load_text: Load) -> None:
    (boiler,) = load_text(README_EXAMPLE).devices
    assert isinstance(boiler.reader, SerialConfig)
    assert boiler.reader.port == "/dev/ttyUSB0"
    assert boiler.points["temperature"].unit == "°C"


def test_a_list_of_devices_is_the_whole_list(load_text: Load) -> None:
    assert load_text("devices: []\n").devices == []


def test_a_point_needs_no_more_than_its_name(load_text: Load) -> None:
    (device,) = load_text(
        "devices:\n- name: a\n  reader: {type: host}\n  points:\n    cpu:\n    load: {}\n"
    ).devices
    assert device.points["cpu"] == device.points["load"]


def test_relative_paths_are_relative_to_the_config_files_folder(
    load_text: Load, tmp_path: Path
) -> None:
    config = load_text(
        "data: state\n"
        "broker: {engine: external, url: mqtts://nas, ca_file: ca.pem}\n"
        "devices:\n"
        "- {name: a, reader: {type: replay, file: a.capture}, decoder: {type: json}}\n"
        "- {name: b, reader: {type: replay, file: /srv/b.capture}, decoder: {type: json}}\n"
    )
    assert config.data == tmp_path / "state"
    assert config.broker.ca_file == str(tmp_path / "ca.pem")
    files = [d.reader.file for d in config.devices if isinstance(d.reader, ReplayConfig)]
    assert files == [str(tmp_path / "a.capture"), "/srv/b.capture"]


def test_a_config_file_named_relatively_still_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "fieldgate.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert load(Path("inner/fieldgate.yaml"), {}).data == tmp_path / "inner" / "data"


def test_no_path_may_hold_nul(load_text: Load) -> None:
    (line,) = problems(load_text, 'data: "a\\0b"\n')
    assert line == "fieldgate.yaml:1: data: holds a NUL character, which no path may"


# -- users


def test_users_yaml_beside_the_config_file_is_taken(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "users.yaml").touch()
    config = load_text("broker: {anonymous: false}\n")
    assert config.users_file == tmp_path / "users.yaml"


def test_users_would_be_written_beside_the_config_file(load_text: Load, tmp_path: Path) -> None:
    config = load_text("")
    assert config.users_file is None
    assert config.users_path == tmp_path / "users.yaml"
    config = config.model_copy(update={"log_level": "debug"})
    assert config.users_path == tmp_path / "users.yaml"


def test_a_users_file_that_is_named_must_be_there(load_text: Load, tmp_path: Path) -> None:
    (line,) = problems(load_text, "\nusers_file: people.yaml\n")
    missing = tmp_path / "people.yaml"
    assert line.startswith("fieldgate.yaml:2: users_file: ")
    assert line.endswith("can't be read: No such file or directory")
    missing.mkdir()
    (line,) = problems(load_text, "users_file: people.yaml\n")
    assert line.endswith("can't be read: Is a directory")


def test_a_users_yaml_that_leads_nowhere_is_never_no_users(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "users.yaml").symlink_to("gone.yaml")
    (line,) = problems(load_text, "")
    assert "users_file" in line
    assert "can't be read" in line


def test_nobody_could_come_in_without_anonymous_and_users(load_text: Load) -> None:
    (line,) = problems(load_text, "broker:\n  anonymous: false\n")
    assert line.startswith("fieldgate.yaml:2: broker.anonymous: false would let nobody in")


# -- the text


def test_values_are_yaml_1_2(load_text: Load) -> None:
    """yes, on and 12:30 are text, 0777 is a number of decimal digits."""
    config = load_text(
        "devices:\n- name: yes\n  reader: {type: host, interval_s: 0010}\n"
        "  points: {on: {unit: off, name: 12:30}}\n"
    )
    (device,) = config.devices
    assert device.name == "yes"
    assert device.reader == HostConfig(type="host", interval_s=10)
    assert device.points["on"].unit == "off"
    assert device.points["on"].name == "12:30"


def test_anchors_and_merge_keys_save_typing(load_text: Load) -> None:
    config = load_text(
        "devices:\n"
        "- &first\n  name: a\n  reader: &line {type: serial, port: /dev/a, baudrate: 300}\n"
        "  decoder: {type: json}\n"
        "- <<: *first\n  name: b\n  reader: {<<: *line, port: /dev/b}\n"
    )
    assert config.devices[1].reader == SerialConfig(type="serial", port="/dev/b", baudrate=300)
    assert config.devices[1].decoder == config.devices[0].decoder


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a: \xff\n", "fieldgate.yaml:1: the byte 0xff is no UTF-8: save the file as UTF-8"),
        (b"\n\na: \xe4\n", "fieldgate.yaml:3: the byte 0xe4 is no UTF-8: save the file as UTF-8"),
        (b"\n\x07", "fieldgate.yaml:2: holds the control character U+0007: take it away"),
        (b"web: {}\n--- \nweb: {}\n", "fieldgate.yaml:2: this is no YAML: a second document"),
        (b"web: *other\n", "fieldgate.yaml:1: this is no YAML: an alias (*name) without"),
        (b"web: [1, 2\n", "fieldgate.yaml:2: this is no YAML: a comma or the closing bracket"),
        (b"web:\n  listen: [::1]:8088\n", f"fieldgate.yaml:2: {NO_FIT}"),
        (b"web: @x\n", "fieldgate.yaml:1: this is no YAML: text that begins with @"),
        (b'web: "\\UFFFFFFFF"\n', "fieldgate.yaml:1: this is no YAML: look for an escape"),
        (b"? [a]\n: b\n", "fieldgate.yaml:1: a key here is not plain text"),
        (b"just text\n", "fieldgate.yaml:1: the file is 'just text'; expected `key: value`"),
        (b"[" * 100_000, "fieldgate.yaml:1: nested deeper than 32 levels"),
        (b"web: &a [*a]\n", "fieldgate.yaml:1: nested deeper than 32 levels"),
        (b"web: &a {<<: [*a, *a]}\n", "fieldgate.yaml:1: nested deeper than 32 levels"),
        (b"#" * (MAX_BYTES + 1), f"fieldgate.yaml: holds more than {MAX_BYTES} bytes"),
        (b"web: !!python/object:os.system x\n", "fieldgate.yaml:1: web: unknown tag"),
        (b"web: !!set {a, b}\n", "fieldgate.yaml:1: web: unknown tag '!!set'"),
        (b"<<: 5\n", "fieldgate.yaml:1: << takes a section"),
        (b"data: 0x" + b"f" * 5000, "fieldgate.yaml:1: data: a number of 5002 characters"),
        (b"log_level: !!int many", "fieldgate.yaml:1: log_level: found 'many', which is no !!int"),
    ],
)
def test_a_text_that_is_no_config_is_an_error_with_its_line(
    load_text: Load, text: bytes, line: str
) -> None:
    (found,) = problems(load_text, text)
    assert found.startswith(line)


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: can't be read: No such file"):
        load(tmp_path / "nowhere.yaml", {})
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path, {})


def test_json_is_yaml_escapes_included(load_text: Load) -> None:
    unit = json.dumps("𝛀")
    text = (
        '{"devices": [{"name": "a", "reader": {"type": "host"},'
        f' "points": {{"r": {{"unit": {unit}}}}}}}]}}'
    )
    assert load_text(text).devices[0].points["r"].unit == "𝛀"


def test_half_a_surrogate_pair_is_no_text(load_text: Load) -> None:
    (line,) = problems(load_text, '"data": "\\ud800"\n')
    assert line == "fieldgate.yaml:1: data: holds half a surrogate pair, which is no text"
    (line,) = problems(load_text, "data: !env LATIN\n", LATIN="\udce4")
    assert line == "fieldgate.yaml:1: data: !env 'LATIN': is no UTF-8 text"


# -- tags and secrets


def test_secrets_come_from_the_environment_or_a_file(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes("pass: wörd\r\n".encode())
    config = load_text(
        "broker:\n  engine: external\n  url: mqtt://nas\n"
        "  username: !env MQTT_USER\n  password: !file secret\n",
        MQTT_USER="4711",
    )
    assert config.broker.username == "4711"
    assert config.broker.password is not None
    assert config.broker.password.get_secret_value() == "pass: wörd"
    assert "wörd" not in repr(config)


def test_a_file_that_is_not_there_is_named_with_its_whole_path(
    load_text: Load, tmp_path: Path
) -> None:
    folder = "deep/" * 30
    (line,) = problems(load_text, f"log_level: !file {folder}level\n")
    assert f"!file '{tmp_path}/{folder}level': No such file or directory" in line
    (line,) = problems(load_text, f"log_level: !file {folder * 40}level\n")
    assert len(line) < 4_200


def test_a_value_from_a_tag_becomes_what_its_key_needs(load_text: Load) -> None:
    config = load_text("devices:\n- {name: a, reader: {type: host, interval_s: !env S}}\n", S="0.5")
    assert config.devices[0].reader == HostConfig(type="host", interval_s=0.5)


@pytest.mark.parametrize(
    ("tagged", "sentence"),
    [
        ("!env NOBODY", "!env 'NOBODY': there is no such environment variable"),
        ("!env", "!env takes one name, as in !env MQTT_PASSWORD"),
        ("!file [a, b]", "!file takes one name, as in !file /run/secrets/mqtt"),
        ("!file /", "!file '/': is no file"),
        ("!file large", "holds more than 65536 bytes"),
        ("!file latin", "is no UTF-8 text"),
        ('!file "a\\0b"', "embedded null"),
    ],
)
def test_a_tag_that_leads_nowhere_is_an_error_at_its_key(
    load_text: Load, tmp_path: Path, tagged: str, sentence: str
) -> None:
    (tmp_path / "large").write_bytes(b"x" * 65_537)
    (tmp_path / "latin").write_bytes(b"\xe4")
    (line,) = problems(load_text, f"\ndata: {tagged}\n")
    assert line.startswith("fieldgate.yaml:2: data: !")
    assert sentence in line


@pytest.mark.parametrize(
    "text",
    [
        "broker: {password: [hunter2]}\n",
        "broker: {password: !hunter2}\n",
        "broker: {password: *hunter2}\n",
        "broker: {passwort: hunter2}\n",
        "broker: {url: 'mqtt://gate:hunter2@nas'}\n",
        "broker: {engine: external, url: !env SECRET}\n",
        "broker: {engine: !env SECRET}\n",
        "web: {topics: [!env SECRET]}\n",
        "devices: [{name: !env SECRET, reader: {type: !env SECRET}}]\n",
        "web: {listen: !env SECRET}\n",
    ],
)
def test_no_error_shows_a_secret(load_text: Load, text: str) -> None:
    assert "hunter2" not in "\n".join(problems(load_text, text, SECRET="hunter2/#/"))


# -- the environment


def test_every_key_can_be_set_by_the_environment(load_text: Load) -> None:
    config = load_text(
        README_EXAMPLE,
        FIELDGATE__WEB__LISTEN="0.0.0.0:80",
        FIELDGATE__BASE_TOPIC="plant/hall",
        FIELDGATE__WEB__TOPICS="[a/#, b/#]",
        FIELDGATE__DEVICES__0__READER__PORT="/dev/ttyACM0",
        FIELDGATE__DEVICES__0__READER__BAUDRATE="19200",
        FIELDGATE__DEVICES__1="{name: room, reader: {type: host}}",
        FIELDGATE__DEVICES__1__ONLY_LISTED="true",
        FIELDGATE__DEVICES__1__POINTS__CPU__UNIT="'%'",
        FIELDGATED="something else",
    )
    assert config.web.address == ("0.0.0.0", 80)
    assert config.base_topic == "plant/hall"
    assert config.web.topics == ["a/#", "b/#"]
    boiler, room = config.devices
    assert boiler.reader == SerialConfig(type="serial", port="/dev/ttyACM0", baudrate=19200)
    assert room.only_listed
    assert room.points["cpu"].unit == "%"


def test_the_environment_alone_is_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(
        None,
        {
            "FIELDGATE__DEVICES__0__NAME": "room",
            "FIELDGATE__DEVICES__0__READER__TYPE": "host",
            "FIELDGATE__BROKER__ENGINE": "external",
            "FIELDGATE__BROKER__URL": "mqtt://nas",
            "FIELDGATE__BROKER__PASSWORD": "!x: *y {",
        },
    )
    assert [device.name for device in config.devices] == ["room"]
    assert config.broker.password is not None
    assert config.broker.password.get_secret_value() == "!x: *y {"


def test_ten_list_items_come_in_the_order_of_their_numbers(load_text: Load) -> None:
    environ = {f"FIELDGATE__WEB__TOPICS__{number}": f"t{number}" for number in range(12)}
    assert load_text("", **environ).web.topics == [f"t{number}" for number in range(12)]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("WEB__LISTE", "x", "web.liste: unknown key; did you mean listen?"),
        ("WEB__LISTEN", "x", "web.listen: found 'x': must be host:port"),
        ("WEB", "5", "web: found 5; expected a section"),
        ("WEB", "{listen: a: b}", "web: this is no YAML: "),
        ("WEB__LISTEN", "[::1]:8088", f"web.listen: {NO_FIT}"),
        ("WEB__TOPICS__1", "a", "web.topics.1 leaves a gap: the next is 0"),
        ("WEB__TOPICS", "[a, 'b#']", "web.topics.1: found 'b#': "),
        ("DEVICES__FIRST__NAME", "a", "devices: found a section; expected a list"),
        ("BASE_TOPIC__X", "a", "base_topic is no section and no list"),
        ("", "a", "names no key, as in FIELDGATE__WEB__LISTEN"),
        ("WEB____LISTEN", "a", "names no key, as in FIELDGATE__WEB__LISTEN"),
        ("DATA", "!env NOBODY", "data: !env 'NOBODY': there is no such environment variable"),
        ("WEB__TLS__CERT_FILE", "a", "web.tls: is not there yet in this version"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(
    load_text: Load, name: str, value: str, line: str
) -> None:
    variable = f"FIELDGATE__{name}"
    (found,) = problems(load_text, "base_topic: fieldgate\n", **{variable: value})
    assert found.startswith(f"{variable}: {line}")


def test_the_environment_mends_what_the_file_has_wrong(load_text: Load) -> None:
    text = "web: {listen: !env NOBODY}\n"
    config = load_text(text, FIELDGATE__WEB__LISTEN="127.0.0.1:1")
    assert config.web.address == ("127.0.0.1", 1)


# -- all at once


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_lines(load_text: Load) -> None:
    lines = problems(
        load_text,
        "web: {listen: 5}\nbrokr: {}\nbrokr: {}\ndata: !env NOBODY\n"
        "devices:\n- {name: a, reader: {type: host}}\n- {name: a, reader: {type: host}}\n",
        FIELDGATE__LOG_LEVEL="loud",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "fieldgate.yaml:1",
        "fieldgate.yaml:2",
        "fieldgate.yaml:3",
        "fieldgate.yaml:4",
        "fieldgate.yaml:7",
        "FIELDGATE__LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("'[::1]:8088'", ("::1", 8088)),
        ("localhost:0", ("localhost", 0)),
        ("my-nas.local:65535", ("my-nas.local", 65_535)),
    ],
)
def test_web_listens_on_any_host_and_port(
    load_text: Load, listen: str, address: tuple[str, int]
) -> None:
    assert load_text(f"web: {{listen: {listen}}}\n").web.address == address


@pytest.mark.parametrize(
    "listen",
    ["::1:8088", "[::x]:1", "127.0.0.1:", ":8088", "a:65536", "a:-1", "a b:1", "http://a:1", "a"],
)
def test_web_listens_on_nothing_else(load_text: Load, listen: str) -> None:
    (line,) = problems(load_text, f"web: {{listen: '{listen}'}}\n")
    assert line.startswith(f"fieldgate.yaml:1: web.listen: found '{listen}': ")


@pytest.mark.parametrize(
    ("key", "given", "taken"),
    [
        ("base_path", "/", ""),
        ("base_path", "/fieldgate", "/fieldgate"),
        ("base_path", "/a/b~c.d", "/a/b~c.d"),
        ("origins", ["https://Panel.example"], ["https://panel.example"]),
        ("origins", ["http://[::1]:8123"], ["http://[::1]:8123"]),
        ("trusted_proxies", ["127.0.0.1", "172.16.0.0/12", "fd00::/8"], None),
        ("topics", ["$SYS/#", "+/a"], None),
    ],
)
def test_the_web_takes(load_text: Load, key: str, given: object, taken: object) -> None:
    config = load_text(json.dumps({"web": {key: given}}))
    assert getattr(config.web, key) == (given if taken is None else taken)


@pytest.mark.parametrize(
    ("key", "given", "why"),
    [
        ("base_path", "/a/", "must begin with a slash"),
        ("base_path", "/a/../b", "must begin with a slash"),
        ("base_path", "a", "must begin with a slash"),
        ("origins", ["*"], "must be an origin"),
        ("origins", ["ftp://a"], "must be an origin"),
        ("origins", ["https://me@a"], "must be an origin"),
        ("origins", ["https://a:0"], "must be an origin"),
        ("origins", ["https://[a"], "must be an origin"),
        ("origins", ["https://a/b"], "must be an origin alone"),
        ("origins", "https://a", "write it as a list: ['https://a']"),
        ("trusted_proxies", ["172.16.0.1/12"], "must be an IP address or network"),
        ("trusted_proxies", ["nas"], "must be an IP address or network"),
        ("topics", [], "found an empty list; expected a list of 1 to 64 items"),
        ("topics", ["a"] * 65, "found a list of 65; expected a list of 1 to 64 items"),
    ],
)
def test_the_web_refuses(load_text: Load, key: str, given: object, why: str) -> None:
    (line,) = problems(load_text, json.dumps({"web": {key: given}}))
    assert why in line


def test_two_loops_are_two_ports(load_text: Load) -> None:
    device = "- {{name: {0}, reader: {{type: serial, port: 'loop://'}}, decoder: {{type: json}}}}\n"
    text = "devices:\n" + device.format("a") + device.format("b")
    assert len(load_text(text).devices) == 2


# -- for every text

BITS = """
<<: *a &a ! !env !file !!int !!str !!float : - [ ] { } , ? | > ' " # % 5 0x1F .nan true null ~
    --- ... \\t é \\0 ° . data users_file
  "\\U00110000"	tab
"""
bits = st.sampled_from(sorted(set(re.findall(r"\w+|\W", README_EXAMPLE + BITS))))


@given(st.one_of(st.text(), st.lists(bits, max_size=60).map("".join), st.binary()))
def test_any_text_is_a_config_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    lines = faults(file, {})
    assert all(line.startswith(str(file)) for line in lines)


def faults(file: Path, environ: Mapping[str, str]) -> list[str]:
    """The lines of the error, none where the config is fine; anything else that is raised fails."""
    try:
        load(file, environ)
    except ConfigError as error:
        return str(error).encode().decode().split("\n")
    return []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(Config.model_fields)) | st.text(), inner)
        | st.fixed_dictionaries({"type": st.sampled_from(["host", "serial", "csv"]) | inner})
        | st.fixed_dictionaries({"name": inner, "reader": inner, "decoder": inner})
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(sorted(Config.model_fields)), values),
    st.dictionaries(st.from_regex(r"FIELDGATE__[A-Z0-9_]{0,20}", fullmatch=True), st.text()),
)
def test_any_tree_and_environment_is_a_config_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, tree: Mapping[str, object], environ: dict[str, str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "tree.yaml"
    file.write_text(json.dumps(tree))
    lines = faults(file, environ)
    assert all(line.startswith((str(file), "FIELDGATE__")) for line in lines)
