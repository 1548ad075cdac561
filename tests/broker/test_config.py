from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.config import BrokerConfig, BrokerTls, check_url
from broker.link import Endpoint, LinkTls

URL = "mqtt://broker.example:1883"


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "mqtts://10.0.0.1",
        "ws://[::1]:9001/mqtt",
        "wss://broker.example/",
        "mqtt://localhost:0",
    ],
)
def test_a_broker_is_named_by_scheme_host_port_and_path(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("127.0.0.1:1883", "must begin with one of mqtt://"),
        ("tcp://127.0.0.1:1883", "must begin with one of mqtt://"),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://me:secret@host", "use the keys username and password"),
        ("mqtt://host:", "no port after the colon"),
        ("mqtt://host:70000", "not a number from 0 to 65535"),
        ("mqtt://host:mqtt", "not a number from 0 to 65535"),
        ("mqtt://host/path", "only ws:// and wss://"),
        ("ws://host/path?query", "a query or a fragment"),
        ("ws://host/path#", "a query or a fragment"),
        ("mqtt://[::1", "must be a url"),
    ],
)
def test_any_other_address_is_refused_with_what_is_wrong(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BrokerConfig(listeners=[url])
    (error,) = caught.value.errors()
    assert error["loc"] == ("listeners", 0)
    assert complaint in error["msg"]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"engine": "external"}, "needs a url"),
        ({"engine": "external", "url": URL, "listeners": [URL]}, "take `listeners` away"),
        ({"engine": "external", "url": URL, "cert_file": "c"}, "belong together"),
        ({"engine": "external", "url": "mqtt://host:0"}, "port 0"),
        ({"url": URL}, "takes no url"),
        ({"username": "me", "password": "x"}, "takes no username, password"),
        ({"version": "5"}, "takes no version"),
        ({"engine": "amqtt", "durability": "power"}, "amqtt takes no durability"),
        ({"engine": "external", "url": URL, "max_keep_alive_s": 60}, "takes no max_keep_alive_s"),
        ({"durability": "disk"}, "'power'"),
        ({"max_keep_alive_s": 0}, "greater than or equal to 1"),
        ({"max_keep_alive_s": 65536}, "less than or equal to 65535"),
        ({"listeners": []}, "at least 1"),
        ({"engine": "mosquitto"}, "'amqtt'"),
        ({"listener": [URL]}, "not permitted"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        BrokerConfig(**keys)


def test_our_own_links_go_to_the_first_listener_or_to_the_external_broker() -> None:
    inside = BrokerConfig(listeners=["ws://127.0.0.1:9001", URL])
    assert inside.endpoint() == Endpoint("ws://127.0.0.1:9001")
    tls = BrokerTls(cert_file="cert", key_file="key")
    encrypted = BrokerConfig(listeners=["mqtts://0.0.0.0:8883"], tls=tls)
    pinned = LinkTls(pinned_file="cert")
    assert encrypted.endpoint() == Endpoint("mqtts://0.0.0.0:8883", tls=pinned)
    outside = BrokerConfig(
        engine="external", url=URL, username="me", password="secret", ca_file="ca", version="5"
    )
    assert outside.endpoint() == Endpoint(
        URL, username="me", password="secret", tls=LinkTls("ca"), version="5"
    )
    assert "secret" not in repr(outside)
    assert "secret" not in repr(outside.endpoint())
