"""Which device class a unit belongs to, and which units and state classes a class takes. Pure.

Home Assistant refuses an entity whose unit or state class doesn't fit its device class. The table
is of its sensor and number integrations; a class that it doesn't name is passed on as it is.
"""

from __future__ import annotations

UNITS: dict[str, frozenset[str | None]] = {
    "apparent_power": frozenset({"mVA", "VA", "kVA"}),
    "atmospheric_pressure": frozenset(
        {"Pa", "hPa", "kPa", "bar", "cbar", "mbar", "mmHg", "inHg", "inH₂O", "psi"}
    ),
    "battery": frozenset({"%"}),
    "carbon_dioxide": frozenset({"ppm"}),
    "conductivity": frozenset({"S/cm", "mS/cm", "μS/cm"}),
    "current": frozenset({"A", "mA"}),
    "data_rate": frozenset({"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "kB/s", "MB/s", "GB/s"}),
    "data_size": frozenset(
        {"bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"}
    ),
    "distance": frozenset({"mm", "cm", "m", "km", "in", "ft", "yd", "mi", "nmi"}),
    "duration": frozenset({"d", "h", "min", "s", "ms", "μs"}),
    "energy": frozenset({"mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "J", "kJ", "MJ", "GJ", "kcal"}),
    "frequency": frozenset({"Hz", "kHz", "MHz", "GHz"}),
    "gas": frozenset({"m³", "ft³", "CCF"}),
    "humidity": frozenset({"%"}),
    "illuminance": frozenset({"lx"}),
    "irradiance": frozenset({"W/m²", "BTU/(h⋅ft²)"}),
    "moisture": frozenset({"%"}),
    "ph": frozenset({None}),
    "pm1": frozenset({"μg/m³"}),
    "pm10": frozenset({"μg/m³"}),
    "pm25": frozenset({"μg/m³"}),
    "power": frozenset({"mW", "W", "kW", "MW", "GW", "TW"}),
    "power_factor": frozenset({"%", None}),
    "precipitation": frozenset({"mm", "cm", "in"}),
    "precipitation_intensity": frozenset({"mm/h", "mm/d", "in/h", "in/d"}),
    "pressure": frozenset(
        {"mPa", "Pa", "hPa", "kPa", "bar", "cbar", "mbar", "mmHg", "inHg", "inH₂O", "psi"}
    ),
    "reactive_power": frozenset({"mvar", "var", "kvar"}),
    "signal_strength": frozenset({"dB", "dBm"}),
    "sound_pressure": frozenset({"dB", "dBA"}),
    "speed": frozenset({"m/s", "m/min", "km/h", "mm/s", "ft/s", "in/s", "mph", "kn"}),
    "temperature": frozenset({"°C", "°F", "K"}),
    "voltage": frozenset({"V", "mV", "μV", "kV", "MV"}),
    "volume": frozenset({"m³", "L", "mL", "ft³", "gal", "fl. oz.", "CCF"}),
    "volume_flow_rate": frozenset(
        {"m³/h", "m³/min", "m³/s", "L/h", "L/min", "L/s", "ft³/min", "gal/min"}
    ),
    "water": frozenset({"m³", "L", "ft³", "gal", "CCF"}),
    "weight": frozenset({"kg", "g", "mg", "μg", "oz", "lb", "st"}),
    "wind_direction": frozenset({"°"}),
    "wind_speed": frozenset({"m/s", "km/h", "ft/s", "mph", "kn", "Beaufort"}),
}
"""The units that a device class takes; None is no unit."""

ALIKE = {"µ": "μ", "l": "L", "l/min": "L/min", "l/h": "L/h", "l/s": "L/s", "C": "°C", "degC": "°C"}
"""How people write units that Home Assistant spells otherwise; the micro sign is U+03BC there."""

ONE_CLASS = {
    unit: device_class
    for device_class in (
        "apparent_power",
        "current",
        "data_rate",
        "data_size",
        "duration",
        "energy",
        "frequency",
        "illuminance",
        "irradiance",
        "power",
        "reactive_power",
        "temperature",
        "voltage",
        "volume_flow_rate",
        "weight",
    )
    for unit in UNITS[device_class]
    if unit is not None
} | {
    "Pa": "pressure",
    "hPa": "pressure",
    "kPa": "pressure",
    "bar": "pressure",
    "mbar": "pressure",
    "psi": "pressure",
}
"""What a unit alone says of a point whose config names no class."""

TOTALS = frozenset({"energy", "gas", "volume", "water"})
"""Classes of what is counted up: `measurement` is refused for them."""

NO_STATE_CLASS = frozenset({"date", "timestamp", "enum"})


def spelled(unit: str | None) -> str | None:
    """A unit as Home Assistant spells it."""
    if unit is None:
        return None
    return ALIKE.get(unit, unit.replace("µ", "μ"))


def class_of(device_class: str | None, unit: str | None) -> str | None:
    """The device class that is named, where the unit fits it, else the one that the unit says."""
    if device_class is None:
        return ONE_CLASS.get(unit) if unit else None
    known = UNITS.get(device_class)
    return device_class if known is None or unit in known else None


def state_class_of(state_class: str | None, device_class: str | None) -> str | None:
    """The state class that is named, where it fits, else the one that the class asks for."""
    if device_class in NO_STATE_CLASS:
        return None
    if device_class in TOTALS:
        return state_class if state_class in ("total", "total_increasing") else "total_increasing"
    return state_class or "measurement"
