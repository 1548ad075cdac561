"""The hardware side, and the program itself: readers, decoders, devices, CLI, composition."""

__version__ = "0.1.0"
