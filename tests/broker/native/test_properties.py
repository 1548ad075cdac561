"""The properties: which packet may hold which (table 2-4), and what they may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import PacketError
from broker.native.field import FieldReader
from broker.native.properties import (
    EMPTY,
    Holder,
    Properties,
    read_properties,
    write_properties,
)
from broker.native.reason import Reason
from tests.broker.native.packets import ALL, PROPERTIES, properties_of

HOLDERS = ALL.split()


def read(encoded: bytes, holder: str) -> Properties:
    data = bytes([len(encoded)]) + encoded
    reader = FieldReader(holder, data, 0, len(data))
    found = read_properties(reader, Holder[holder])
    reader.finish()
    return found


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_is_read_where_it_belongs_and_refused_elsewhere(name: str, holder: str) -> None:
    number, value, _, holders = PROPERTIES[name]
    encoded = bytes([number]) + value
    if name == "authentication_data":
        encoded = b"\x15\0\1m" + encoded  # which it needs
    if holder in holders.split():
        found = read(encoded, holder)
        assert getattr(found, name) not in (None, ())
        assert write_properties(found, Holder[holder]) == bytes([len(encoded)]) + encoded
    else:
        with pytest.raises(PacketError, match="doesn't belong in") as caught:
            read(encoded, holder)
        assert caught.value.reason is Reason.MALFORMED_PACKET  # 2.2.2.2


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_that_comes_twice_is_refused_unless_it_may(name: str) -> None:
    number, value, _, holders = PROPERTIES[name]
    encoded = (bytes([number]) + value) * 2
    holder = holders.split()[0]
    if name == "authentication_data":
        encoded = b"\x15\0\1m" + encoded
    if name in ("user_properties", "subscription_identifiers"):
        assert len(getattr(read(encoded, holder), name)) == 2
    else:
        with pytest.raises(PacketError, match="twice") as caught:
            read(encoded, holder)
        assert caught.value.reason is Reason.PROTOCOL_ERROR


def test_every_property_is_in_the_table() -> None:
    assert set(Properties.__struct_fields__) == set(PROPERTIES)


def test_a_number_that_is_no_property_is_refused() -> None:
    known = {number for number, *_ in PROPERTIES.values()}
    for number in set(range(128)) - known:
        with pytest.raises(PacketError, match="no property") as caught:
            read(bytes([number, 0]), "PUBLISH")
        assert caught.value.reason is Reason.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("holder", "encoded", "expected"),
    [
        ("PUBLISH", "01 02", Reason.PROTOCOL_ERROR),  # 3.3.2.3.2
        ("PUBLISH", "23 0000", Reason.TOPIC_ALIAS_INVALID),  # [MQTT-3.3.2-8]
        ("PUBLISH", "0b 00", Reason.PROTOCOL_ERROR),  # 3.3.2.3.8
        ("SUBSCRIBE", "0b 00", Reason.PROTOCOL_ERROR),  # 3.8.2.1.2
        ("SUBSCRIBE", "0b 8000", Reason.MALFORMED_PACKET),  # [MQTT-1.5.5-1]
        ("SUBSCRIBE", "0b ffffffffff", Reason.MALFORMED_PACKET),  # 1.5.5
        ("CONNACK", "21 0000", Reason.PROTOCOL_ERROR),  # 3.2.2.3.3
        ("CONNACK", "24 02", Reason.PROTOCOL_ERROR),  # 3.2.2.3.4
        ("CONNACK", "25 02", Reason.PROTOCOL_ERROR),  # 3.2.2.3.5
        ("CONNACK", "27 00000000", Reason.PROTOCOL_ERROR),  # 3.2.2.3.6
        ("CONNACK", "28 02", Reason.PROTOCOL_ERROR),
        ("CONNACK", "29 02", Reason.PROTOCOL_ERROR),
        ("CONNACK", "2a 02", Reason.PROTOCOL_ERROR),
        ("PUBLISH", "26 0001 78", Reason.MALFORMED_PACKET),  # half a pair
        ("PUBLISH", "26 0001 78 0001 ff", Reason.MALFORMED_PACKET),  # [MQTT-1.5.7-1]
        ("PUBLISH", "03 0001 00", Reason.MALFORMED_PACKET),  # [MQTT-1.5.4-2]
        ("PUBLISH", "03 0003 eda080", Reason.MALFORMED_PACKET),  # [MQTT-1.5.4-1]
        ("PUBLISH", "02 000000", Reason.MALFORMED_PACKET),
        ("AUTH", "16 0001 78", Reason.PROTOCOL_ERROR),  # data without a method
    ],
)
def test_a_value_that_is_not_allowed_is_refused(
    holder: str, encoded: str, expected: Reason
) -> None:
    with pytest.raises(PacketError) as caught:
        read(bytes.fromhex(encoded), holder)
    assert caught.value.reason is expected


@given(st.sampled_from(HOLDERS).flatmap(lambda h: st.tuples(st.just(h), properties_of(h))))
def test_properties_that_are_written_are_read_again(one: tuple[str, Properties]) -> None:
    holder, properties = one
    data = write_properties(properties, Holder[holder])
    reader = FieldReader(holder, data, 0, len(data))
    assert read_properties(reader, Holder[holder]) == properties
    assert reader.is_empty


@given(st.sampled_from(HOLDERS), st.binary(max_size=30))
def test_any_bytes_are_properties_or_the_documented_error(holder: str, encoded: bytes) -> None:
    try:
        found = read(encoded, holder)
    except PacketError:
        return
    write_properties(found, Holder[holder])


def test_no_properties_are_one_byte_and_always_the_same_object() -> None:
    assert write_properties(EMPTY, Holder.PUBLISH) == b"\0"
    assert write_properties(Properties(), Holder.PUBLISH) == b"\0"
    assert read(b"", "PUBLISH") is EMPTY
