"""CONNECT, read: the packet that says which version all the others are of."""

from __future__ import annotations

from broker.errors import PacketError
from broker.link import QoS
from broker.native.field import FieldReader
from broker.native.packet import Connect, Version, Will
from broker.native.properties import EMPTY, Holder, read_properties
from broker.native.publish import check_response_topic, check_topic
from broker.native.reason import Reason

_VERSIONS = {
    (b"MQIsdp", 3): Version.V31,
    (b"MQTT", 4): Version.V311,
    (b"MQTT", 5): Version.V5,
}


def read_version(reader: FieldReader) -> Version:
    """The protocol name and level, which come first; PacketError for any that we don't speak.

    A Mosquitto bridge first sets the level's top bit, to say that it is one. We refuse that, as
    [MQTT-3.1.2-2] has it, with return code 1: it then comes back without the bit.
    """
    name, level = reader.binary("protocol name"), reader.byte("protocol level")
    version = _VERSIONS.get((name, level))
    if version is None:  # [MQTT-3.1.2-1], [MQTT-3.1.2-2]
        raise PacketError(
            Reason.UNSUPPORTED_PROTOCOL_VERSION,
            f"CONNECT: protocol {name[:20]!a} level {level} is neither MQTT 3.1, 3.1.1 nor 5",
        )
    return version


def decode_connect(reader: FieldReader, version: Version) -> Connect:
    """What comes after the protocol level."""
    flags = reader.byte("connect flags")
    if flags & 0x01 and version is not Version.V31:  # [MQTT-3.1.2-3]
        raise reader.malformed("the reserved connect flag is set")
    keep_alive_s = reader.two_bytes("keep alive")
    is_5 = version is Version.V5
    held = read_properties(reader, Holder.CONNECT) if is_5 else EMPTY
    client_id = reader.text("client id")  # [MQTT-3.1.3-3], [MQTT-3.1.3-4]
    clean_start = bool(flags & 0x02)
    # An empty one stands for a name that we give. MQTT 3.1 doesn't know that, and 3.1.1 only
    # for a session that ends with its connection [MQTT-3.1.3-8]. The 23 characters that 3.1
    # limits it to are not insisted on.
    if not client_id and (version is Version.V31 or (version is Version.V311 and not clean_start)):
        raise PacketError(Reason.CLIENT_IDENTIFIER_NOT_VALID, "CONNECT: the client id is empty")
    will = _read_will(reader, flags, version)
    has_username, has_password = bool(flags & 0x80), bool(flags & 0x40)
    if has_password and not has_username and not is_5:  # 3.1.1 [MQTT-3.1.2-22]
        raise reader.malformed("there is a password, but no user name")
    if version is Version.V31:  # where what is missing counts as not there
        has_username = has_username and not reader.is_empty
    username = reader.text("user name") if has_username else None
    if version is Version.V31:
        has_password = has_password and not reader.is_empty
    password = reader.binary("password") if has_password else None
    reader.finish()
    return Connect(version, client_id, clean_start, keep_alive_s, username, password, will, held)


def _read_will(reader: FieldReader, flags: int, version: Version) -> Will | None:
    qos, retain = flags >> 3 & 3, bool(flags & 0x20)
    if not flags & 0x04:
        if (qos or retain) and version is not Version.V31:  # [MQTT-3.1.2-11], [MQTT-3.1.2-13]
            raise reader.malformed("there is no will, but a will QoS or will retain flag")
        return None
    if qos == 3:  # [MQTT-3.1.2-12]
        raise reader.malformed("the will QoS is 3")
    held = EMPTY
    if version is Version.V5:
        held = read_properties(reader, Holder.WILL)
        check_response_topic(reader, held)
    topic = reader.text("will topic")  # [MQTT-3.1.3-11]
    payload = reader.binary("will payload")
    return Will(check_topic("CONNECT", topic), payload, QoS(qos), retain, held)
