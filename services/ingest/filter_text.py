"""The filter language of images and of datasets, from text to a tree: a subset of AIP-160, whose grammar it follows.

As there, OR binds more tightly than AND, and what only stands side by side is ANDed. What the names and values mean is
left to `filters` and `browsing`; what is wrong is said here with its column.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from framehouse.runtime.errors import InvalidArgument

LENGTH = 4096
"""Bytes of a filter at most."""
DEPTH = 32
"""Parentheses in each other."""
RESTRICTIONS = 128

EVERYTHING = "*"
"""The filter that selects all images, where an empty one is not to be one by mistake."""

COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""What the operators do with numbers, columns of them, and columns of a database; `!=` is the opposite of `=`."""
DIGITS = 18
"""Of a number at most; more do not fit 64 bits."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<operator>!=|<=|>=|[=<>:])
      | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<open>["'])
      | (?P<word>[^\s()=<>:!"']+|!)
    )""",
    re.VERBOSE | re.DOTALL,
)


class Text(NamedTuple):
    """A value as it was written."""

    parts: tuple[str, ...]
    """What stands between its asterisks; one part where it has none."""
    column: int
    """From 1."""

    def __str__(self) -> str:
        return "*".join(self.parts)

    @property
    def is_anything(self) -> bool:
        return self.parts == ("", "")


class Restriction(NamedTuple):
    """A field compared with a value."""

    field: str
    operator: str
    value: Text
    column: int
    """Of the field."""
    operator_column: int


class Not(NamedTuple):
    """What does not hold."""

    node: "Node"


class All(NamedTuple):
    """All of it holds; where it is empty, always."""

    nodes: tuple["Node", ...]


class Either(NamedTuple):
    """One of it holds."""

    nodes: tuple["Node", ...]


Node = Restriction | Not | All | Either


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(text: str) -> Node:
    """The tree of a filter; an empty one is `All(())`, as is `*`. `InvalidArgument` with the column of the error."""
    if len(text.encode()) > LENGTH:
        raise InvalidArgument(f"the filter has more than {LENGTH} bytes; write a shorter one", field="filter")
    tokens = _tokens(text)
    parser = _Parser(tokens, len(text) + 1)
    if not tokens or [token.text for token in tokens] == [EVERYTHING]:
        return All(())
    tree = parser.expression(0)
    if (rest := parser.next) is not None:
        raise wrong(rest.column, f"{rest.text!r} closes nothing; remove it or open it before")
    return tree


def wrong(column: int, text: str) -> InvalidArgument:
    """The error for a filter, with the place in it, from 1."""
    return InvalidArgument(
        f"filter, column {column}: {text}", reason="FILTER_INVALID", field="filter", facts={"column": str(column)}
    )


def near(word: str, names: Iterable[str], many: str) -> str:
    """What to write instead of a word: the names that are like it, else all of them, or the first of many."""
    known = sorted(set(names))
    folded = {name.lower(): name for name in known}
    if close := get_close_matches(word.lower(), folded, 3):
        return f"did you mean {' or '.join(repr(folded[name]) for name in close)}?"
    shown = ", ".join(repr(name) for name in known[:10])
    return f"{many}: {shown or 'none'}{f' and {len(known) - 10:,} more' if len(known) > 10 else ''}"


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        assert match is not None and match.lastgroup is not None  # every letter is in one of the groups
        column = match.start(match.lastgroup) + 1
        if match.lastgroup == "open":
            raise wrong(column, f"the text that begins here has no closing {match['open']}")
        if match["word"] == "!":
            raise wrong(column, "'!' alone says nothing; write != or NOT")
        found.append(_Token(match.lastgroup, match[match.lastgroup], column))
        place = match.end()
    return found


class _Parser:
    """One pass over the tokens, a method for each rule of the grammar."""

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens = tokens
        self._place = 0
        self._end = end
        self._restrictions = 0

    @property
    def next(self) -> _Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def expression(self, depth: int) -> Node:
        """Sequences with AND between them; a sequence is factors side by side, which is the same here."""
        nodes = [self._factor(depth)]
        while (token := self.next) is not None and token.text != ")":
            if self._is(token, "and"):
                self._place += 1
            nodes.append(self._factor(depth))
        return nodes[0] if len(nodes) == 1 else All(tuple(nodes))

    def _factor(self, depth: int) -> Node:
        nodes = [self._term(depth)]
        while self._is(self.next, "or"):
            self._place += 1
            nodes.append(self._term(depth))
        return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))

    def _term(self, depth: int) -> Node:
        token = self.next
        if self._is(token, "not"):
            self._place += 1
            return Not(self._simple(depth))
        if token is not None and token.kind == "word" and token.text.startswith("-"):
            if token.text == "-":
                self._place += 1
            else:
                self._tokens[self._place] = _Token("word", token.text[1:], token.column + 1)
            return Not(self._simple(depth))
        return self._simple(depth)

    def _simple(self, depth: int) -> Node:
        token = self._take("a field, for instance split = train")
        if token.text == "(" and token.kind == "bracket":
            if depth == DEPTH:
                raise wrong(token.column, f"more than {DEPTH} parentheses in each other")
            node = self.expression(depth + 1)
            if self.next is None:
                raise wrong(token.column, "this parenthesis is not closed")
            self._place += 1
            return node
        return self._restriction(token)

    def _restriction(self, field: _Token) -> Restriction:
        if field.kind in ("bracket", "operator") or _is_keyword(field):
            raise wrong(field.column, f"{field.text!r} stands where a field should, for instance split = train")
        operator = self.next
        if field.kind == "quoted" or operator is None or operator.kind != "operator":
            text = str(_value(field))
            raise wrong(field.column, f"{text!r} alone is not looked for; say in which field, as in path:{text!r}")
        self._place += 1
        value = self._take(f"a value for {field.text}")
        if value.kind in ("bracket", "operator"):
            raise wrong(value.column, f"{value.text!r} stands where a value should; put it in quotes if it is one")
        self._restrictions += 1
        if self._restrictions > RESTRICTIONS:
            raise wrong(field.column, f"more than {RESTRICTIONS} comparisons; select with fewer, in several calls")
        return Restriction(field.text, operator.text, _value(value), field.column, operator.column)

    def _take(self, what: str) -> _Token:
        token = self.next
        if token is None:
            raise wrong(self._end, f"it ends where {what} should stand")
        self._place += 1
        return token

    def _is(self, token: _Token | None, keyword: str) -> bool:
        """Whether it is that keyword: a word, in any case, with no operator after it, as a field would have."""
        if token is None or token.kind != "word" or token.text.lower() != keyword:
            return False
        after = self._tokens[self._place + 1] if self._place + 1 < len(self._tokens) else None
        return after is None or after.kind != "operator"


def _is_keyword(token: _Token) -> bool:
    return token.kind == "word" and token.text.lower() in ("and", "or", "not")


def _value(token: _Token) -> Text:
    """Its parts between asterisks; in quotes, a backslash takes the meaning of what follows away."""
    if token.kind != "quoted":
        return Text(tuple(token.text.split("*")), token.column)
    parts = [""]
    for letter in re.findall(r"\\.|[^\\]", token.text[1:-1], re.DOTALL):
        if letter == "*":
            parts.append("")
        else:
            parts[-1] += letter[-1]
    return Text(tuple(parts), token.column)
