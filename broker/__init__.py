"""All that is MQTT and neither hardware nor web: topic rules, the broker, the client link.

Others import the public names of `topics`, `access`, `link`, `config` and `serving` only.
"""
