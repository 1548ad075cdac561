"""Why we close WebSockets, for programs: below 4500 come back after a moment, from there on don't.

1000 to 2999 are those of the standards [IANA WebSocket Close Code registry], 4000 and more ours.
"""

SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
"""There is no room for one more session."""

USERS_CHANGED = 4001
"""Come back, as whoever you are then."""

LOGIN_TOO_OLD = 4002
"""Come back; if the cookie hasn't been renewed, somebody has to log in first."""

LOGGED_OUT = 4500

TOKEN_ENDED = 4501
"""It has ended or was revoked."""
