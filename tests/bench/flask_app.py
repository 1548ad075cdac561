"""A page's server as it is often written: Flask-SocketIO tells everybody what paho tells it.

python -m gevent.monkey --module tests.bench.flask_app MQTT_PORT WEB_PORT
"""

from __future__ import annotations

import sys
from typing import Any

from flask import Flask
from flask_socketio import SocketIO, emit, join_room
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

app = Flask(__name__)
socketio = SocketIO(app, async_mode="gevent")
last: dict[str, str] = {}


@socketio.on("watch")
def watch(topics: list[str], newcomer: bool) -> None:
    """A room for each topic below bench/own; all others go to everybody."""
    for topic in topics:
        join_room(topic)
    emit("watching")
    if newcomer:
        for topic, payload in list(last.items()):
            emit("message", {"topic": topic, "payload": payload})


def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
    topic, payload = message.topic, message.payload.decode()
    if payload:
        last[topic] = payload
    else:
        last.pop(topic, None)
    room = topic if topic.startswith("bench/own/") else None
    socketio.emit("message", {"topic": topic, "payload": payload}, to=room)


def main() -> None:
    mqtt_port, web_port = map(int, sys.argv[1:])
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.connect("127.0.0.1", mqtt_port)
    client.subscribe("bench/#")
    client.loop_start()
    socketio.run(app, "127.0.0.1", web_port)


if __name__ == "__main__":
    main()
