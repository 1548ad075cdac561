"""Commands: from `<base>/<device>/set` to the hardware, and a receipt for each step on the way.

wish.py   what a payload asks for, judged against the point's config (pure)
desk.py   the commands under way, their receipts, what confirms them (pure)
crew.py   the threads that write, one a line, so that the loop never waits for hardware
"""
