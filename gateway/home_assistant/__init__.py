"""Home Assistant: one retained message a device, from which it makes the device and its entities.

    config.py     what the `home_assistant` section may say
    unit.py       which device class a unit belongs to, and which units a class takes (pure)
    component.py  one point as one entity (pure)
    discovery.py  one device with all of them, as the payload of its topic (pure)
    announcer.py  what Home Assistant was told, what it is to be told, what it is to forget (pure)

Written for Home Assistant 2026.11 and on; 2024.12 understands it too. What refuses a device or an
entity there is said beside the rule that avoids it.
"""
