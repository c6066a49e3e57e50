"""Credentials out of the text of a COPY or UNLOAD, and of what a server says of one; knows no statement else.

A word that says what comes, then, past blanks, comments, AS and =, one constant or several: in quotes, or between
dollars. A constant that is cut off, as in a shortened text, is hidden to the end.
"""

from __future__ import annotations

import re

_WORD = re.compile(
    r"(?<!['\"])\b(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|TOKEN|CREDENTIALS|MASTER_SYMMETRIC_KEY)\b",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"\b(aws_access_key_id|aws_secret_access_key|master_symmetric_key|token)(\s*=\s*)[^;'\"\s]+", re.IGNORECASE
)
"""What stands in the constant of CREDENTIALS, wherever a message quotes it."""
_BLANK = re.compile(r"(?:\s|=|--[^\n]*|\bAS\b)+", re.IGNORECASE)
_COMMENT = re.compile(r"/\*|\*/")
_CONSTANT = re.compile(
    r"(?:E|N|B|X|U&)?'(?:[^'\\]|''|\\.)*(?:'|\\?$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)|\"(?:[^\"]|\"\")*(?:\"|$)",
    re.IGNORECASE | re.DOTALL,
)
_HIDDEN = "'***'"


def redacted(text: str) -> str:
    """`text` without the credentials that a COPY or UNLOAD in it names."""
    shown: list[str] = []
    done = 0
    for word in _WORD.finditer(text):
        if word.start() < done:
            continue
        at = _past_blanks(text, word.end())
        while constant := _CONSTANT.match(text, at):
            shown += [text[done:at], _HIDDEN]
            done = constant.end()
            at = _past_blanks(text, done)
    return _PAIR.sub(r"\1\2***", "".join([*shown, text[done:]]))


def _past_blanks(text: str, at: int) -> int:
    """Where the next word or constant begins; comments may hold comments."""
    while True:
        if blank := _BLANK.match(text, at):
            at = blank.end()
        elif text.startswith("/*", at):
            at = _past_comment(text, at)
        else:
            return at


def _past_comment(text: str, at: int) -> int:
    depth = 0
    for mark in _COMMENT.finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)
