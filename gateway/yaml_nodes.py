"""YAML 1.2 text as ruamel.yaml's nodes, and what is wrong with the text in plain words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError

from gateway.problem import Problem, UnreadableError

MAX_DEPTH = 32
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels: no key of Fieldgate lies so deep"

Where: TypeAlias = Callable[[int], str]
"""From a line, counted from 1, to what an error calls the place."""


def compose(text: str, where: Where) -> Node | None:
    """The top node of a YAML text, None where it holds nothing; raises UnreadableError."""
    yaml = YAML(typ="safe", pure=True)  # libyaml, the other parser, knows YAML 1.1 only
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be given anew [YAML 1.2.2, 3.2.2.2]
            node: Node | None = yaml.compose(text)
            return node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        begun = error.context_mark.line + 1 if error.context_mark else line
        since = f" (it began in line {begun})" if begun != line else ""
        raise UnreadableError(Problem(where(line), (), _syntax(error) + since)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        sentence = f"holds the control character U+{ord(text[error.position]):04X}: take it away"
        raise UnreadableError(Problem(where(line), (), sentence)) from None
    except RecursionError:
        raise UnreadableError(Problem(where(1), (), TOO_DEEP)) from None
    except (ValueError, OverflowError, YAMLError):  # "\UFFFFFFFF" goes to chr() unchecked
        line = yaml.reader.line + 1
        sentence = "this is no YAML: look for an escape like \\U that names no character"
        raise UnreadableError(Problem(where(line), (), sentence)) from None


_SYNTAX = {
    "found character '\\t'": "a tab where spaces must be: indent with spaces only",
    "mapping values are not allowed": "a second colon in one line, or a wrong indentation:"
    " put text that holds ': ' in quotes",
    "could not find expected ':'": "a line without `key: value`, or a wrong indentation",
    "expected <block end>": "text that begins with [ or { needs quotes; or else the"
    " indentation doesn't fit the lines above",
    "expected '<document start>'": "text that begins with [ or { needs quotes; or else the"
    " first lines don't fit together: write `key: value` lines",
    "expected ',' or": "a comma or the closing bracket is missing",
    "found undefined alias": "an alias (*name) without its anchor (&name) above:"
    " put text that begins with * in quotes",
    "but found another document": "a second document (--- or ...): Fieldgate reads one only",
    "found unexpected end of stream": "a quote is opened and never closed",
    "that cannot start any token": "text that begins with @, ` or % needs quotes",
}


def _syntax(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "")
    for start, sentence in _SYNTAX.items():
        if start in problem:
            return f"this is no YAML: {sentence}"
    return f"this is no YAML: {problem}".replace("\0", "the end of the file")
