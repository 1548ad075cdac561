"""The native broker: MQTT 3.1, 3.1.1 and 5, in pure Python.

The codec holds no socket and no clock: `stream` turns bytes into packets, `encode` packets into
bytes, `publish` does both for the one packet that there are many of. `packet` says what a packet
is, `properties` and `reason` what MQTT 5 adds, `field` how a number or a text lies in the bytes.

Clause numbers like [MQTT-3.3.1-4] are those of MQTT 5 where nothing else is said.
"""
