"""Points: what the fields of a device are called, what they mean and when they are published.

A field goes name → conversion (type, invalid values, scale, decimals) → report (dead-band, on
change or every so often, at most so many per second) → payload; beside it an interval is learned,
beyond which silence makes the point stale. All pure: time comes in as an argument.
"""
