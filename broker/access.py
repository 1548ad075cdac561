"""Who gets in and who may do what: everything that the gateway and the web ask about access."""

from __future__ import annotations

from broker.policy import (
    ADMIN_GROUP,
    ANONYMOUS,
    OPEN,
    Action,
    Decision,
    Policy,
    Rule,
    User,
)

__all__ = [
    "ADMIN_GROUP",
    "ANONYMOUS",
    "OPEN",
    "Action",
    "Decision",
    "Policy",
    "Rule",
    "User",
]
