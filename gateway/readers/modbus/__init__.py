"""Modbus, RTU and TCP: registers that are asked for, over a bus that several devices share.

config.py    what a `reader: {type: modbus}` may say
register.py  where a point lies in a device's tables, and what its words mean (pure)
block.py     which neighbours are read in one request (pure)
bus.py       the line, one request at a time
reader.py    one device: asked at its cadence, left alone for a while when it is silent
"""

from gateway.readers.modbus.bus import Bus, Buses
from gateway.readers.modbus.config import ModbusConfig
from gateway.readers.modbus.reader import ModbusReader

__all__ = ["Bus", "Buses", "ModbusConfig", "ModbusReader"]
