"""From a response in free text to the clauses that state its answer, as tokens.

Every step passes over the text a fixed number of times, so that a hostile response costs no more than its length: no
pattern tries again what it has already passed over.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),  # quotation marks, and the apostrophe proper
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),  # hyphens, dashes, minus
        **dict.fromkeys("\u223c\u301c\u2248", "~"),
    }
)
_MARKUP = re.compile(r"\\(?:text|mathrm|mathbf)|\\[,;! ]|[\\{}$*_]")
_OCLOCK = re.compile(r"\bo ?'? ?clock\b")
_LIST_MARK = re.compile(r"^(?:\d\d?[.)]|[-•]) (?=\S)", re.ASCII)
_ANSWER_MARK = re.compile(r"\banswer\"? ?(?:is|:|=)")
# The point, colon and comma of "3.5", "0:03" and "[3.5, 6.0]" end no clause.
CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;\n]|:(?!\d)|,(?= \D)|\b(?:but|however|although|though|while|whereas)\b")
REFUSAL = re.compile(
    r"\b(?:sorry|cannot|can not|can't|could not|couldn't|unable|impossible|not possible|not enough|insufficient|unknown"
    r"|unclear|not (?:clear|visible|provided|specified|shown)|don't know|do not know|no way to|undetermined)\b"
)
_TOKEN = re.compile(r"(?:(?<![^\s(\[=:])-)?(?:\d[\d.,:]*\d|\d)(?:e[+-]?\d+)?|(?<![\w.])\.\d+|[a-z][\w']*|\S", re.ASCII)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"-?\d+,\d{1,2}", re.ASCII)

Tokens = list[str]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def final_answer(text: str) -> str | None:
    """The part of a response that states its answer, in plain lower case; None where it never left its reasoning."""
    if not text.isascii():
        # One sign at a time: in one piece, a long run of combining marks takes quadratic time to put in order.
        text = "".join(unicodedata.normalize("NFKC", sign) for sign in text).translate(_PLAIN)
    text = text.lower()
    _, closed, rest = text.rpartition("</think>")
    if closed:
        text = rest
    elif "<think>" in text:
        return None
    if "<answer>" in text:
        text = text.rpartition("<answer>")[2].partition("</answer>")[0]
    if "\\boxed{" in text:
        text = text.rpartition("\\boxed{")[2].partition("\n")[0]
    # Line ends separate clauses, so they outlive the collapse of white space.
    lines = (" ".join(_MARKUP.sub(" ", line).split()) for line in text.splitlines())
    text = "\n".join(_LIST_MARK.sub("", line) for line in lines)
    marks = [mark.end() for mark in _ANSWER_MARK.finditer(text)]
    if marks and text[marks[-1] :].strip():
        text = text[marks[-1] :]
    return _OCLOCK.sub("o'clock", text.strip())


def tokens_of(clause: str) -> Tokens:
    """Words, numbers (plain decimals, or m:ss) and single signs."""
    tokens = []
    for token in _TOKEN.findall(clause):
        if not is_number(token):
            tokens.append(token.removesuffix("'s"))
        elif _THOUSANDS.fullmatch(token):
            tokens.append(token.replace(",", ""))
        elif _DECIMAL_COMMA.fullmatch(token):
            tokens.append(token.replace(",", "."))
        else:  # "3.5,6.0" is two numbers
            tokens.extend(part for part in re.split("(,)", token) if part)
    return tokens


def is_number(token: str) -> bool:
    return token[-1].isdigit() and not token[0].isalpha()
