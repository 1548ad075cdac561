"""History: what numeric topics were, kept in SQLite and asked for by `/api/history`.

    bridge ─► Recorder (samples of a second) ─► Batch ─► Database ─► history.sqlite
                                                                          │
    /api/history ◄── Columns ◄── what is not written yet + Reading ◄──────┘

The recorder lives on the event loop and does no I/O; the database is written in one thread and
read in another. Where history is off, `OffHistory` has the same members.
"""
