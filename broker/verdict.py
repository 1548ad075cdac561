"""What the rules say to one wish, in words: which rule decides, where it stands, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from broker import topics
from broker.errors import PacketError, TopicError
from broker.native.share import split_share
from broker.policy import ANYBODY, Action, Decision, Policy, Rule, User, widened

MAX_HINTS = 5
"""Other rules that are mentioned, nearest first."""


def explained(
    policy: Policy, user: User, topic: str, *, client_id: str | None = None, where: str
) -> Iterator[str]:
    """Whether a user may publish and subscribe to a topic or filter, and why, a line each.

    `where` is the name of the users file. Raises TopicError for what is no topic filter.
    """
    topics.check_filter(topic)
    try:
        share, topic_filter = split_share(topic)
    except PacketError as error:
        raise TopicError(str(error)) from None
    for action in Action:
        asked = topic_filter if action is Action.SUBSCRIBE else topic
        question = _Question(policy, user, action, asked, client_id, where)
        yield from question.answer()
    if share is not None:
        yield f"A shared subscription is judged by its filter, here {topic_filter}."


@dataclass(frozen=True, slots=True)
class _Question:
    """One user, one action, one topic."""

    policy: Policy
    user: User
    action: Action
    topic: str
    client_id: str | None
    where: str

    def answer(self) -> Iterator[str]:
        if self.action is Action.PUBLISH and (reason := _never_published(self.topic)):
            yield f"publish: denied, because {reason}"
            return
        decision = self._decision(self.user)
        if decision.rule is None:
            yield (
                f"{self.action}: denied, because no rule {self._reaches()} {self.topic}"
                f" for {who(self.user)}, and what no rule allows is denied"
            )
        else:
            verdict = "allowed" if decision.allowed else "denied"
            yield f"{self.action}: {verdict} by {self._place(decision.number, decision.rule)}"
            yield f"  {decision.rule}"
            yield f"  because {self._because(decision)}"
        hints = [] if decision.allowed else [*self._hints(decision)]
        yield from (f"  {hint}" for hint in hints[:MAX_HINTS])

    def _decision(self, user: User) -> Decision:
        return self.policy.explain(user, self.action, self.topic, client_id=self.client_id)

    def _reaches(self) -> str:
        return "covers" if self.action is Action.SUBSCRIBE else "matches"

    def _because(self, decision: Decision) -> str:
        rule, found = decision.rule, decision.topic_filter
        assert rule is not None
        its = f"it is for {_whom(rule)}, and its {found}"
        if self.action is Action.PUBLISH:
            return f"{its} matches {self.topic}"
        if decision.allowed:
            return f"{its} covers all of {self.topic}"
        if topics.covers(found, self.topic):
            return f"{its} covers {self.topic}"
        return f"{its} overlaps {self.topic}, which is granted as a whole or not at all"

    def _hints(self, decision: Decision) -> Iterator[str]:
        """Rules that were meant, perhaps, and why each did not help."""
        for number, rule in enumerate(self.policy.rules, 1):
            if rule.allow and self.action in rule.actions:
                reason = self._why_not(rule, decision.number)
                if reason:
                    yield f"{self._place(number, rule)} {reason}"

    def _why_not(self, rule: Rule, decider: int | None) -> str:
        would_allow = self._would_allow(rule)
        if not rule.is_for(self.user):
            return f"would allow it, but it is for {_whom(rule)}" if would_allow else ""
        if would_allow:
            return f"would allow it, but stands behind rule {decider}"
        if unfilled := self._unfilled(rule):
            return f"doesn't count, because {unfilled}"
        if self.action is Action.SUBSCRIBE:
            for part in rule.filters(self.user, self.client_id):
                if topics.overlaps(part, self.topic):
                    return f"allows only {part}, which is not all of {self.topic}"
        return ""

    def _would_allow(self, rule: Rule) -> bool:
        """Whether this rule alone would allow it to those whom it is for."""
        groups = self.user.groups | ({rule.group} if rule.group is not None else set())
        name = self.user.name if rule.user in (None, ANYBODY) else rule.user
        alone = Policy((rule,)).explain(
            User(name, groups), self.action, self.topic, client_id=self.client_id
        )
        return alone.allowed

    def _unfilled(self, rule: Rule) -> str:
        """Why a topic filter of this rule that would do stands for nothing."""
        meant = " ".join(each for each in rule.topics if topics.covers(widened(each), self.topic))
        if "%u" in meant and self.user.name is None:
            return "%u is the user's name, and without a login there is none"
        if "%c" in meant and not self.client_id:
            return "%c is the MQTT client id, and none was given (--client-id)"
        if "%" in meant and len(rule.filters(self.user, self.client_id)) < len(rule.topics):
            return "what %u and %c stand for may hold no +, # and /, and begin with no $"
        return ""

    def _place(self, number: int | None, rule: Rule) -> str:
        line = "" if rule.line is None else f":{rule.line}"
        return f"rule {number} ({self.where}{line})"


def who(user: User) -> str:
    """A user as a sentence names them."""
    return "somebody without a login" if user.name is None else user.name


def _whom(rule: Rule) -> str:
    if rule.group is not None:
        return f"the group {rule.group}"
    return "anybody" if rule.user == ANYBODY else f"the user {rule.user}"


def _never_published(topic: str) -> str:
    if topic.startswith("$"):
        return "what begins with $ is the broker's own, whatever the rules say"
    if "+" in topic or "#" in topic:
        return f"a message goes to one topic, and {topic} is a filter"
    return ""
