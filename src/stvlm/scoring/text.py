"""From a response in free text to the clauses that state its answer, as tokens.

Every step passes over the text a fixed number of times, so that a hostile response costs no more than its length: no
pattern tries again what it has already passed over.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

Tokens = list[str]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Signs

_SIGNS = {
    **dict.fromkeys("\u2018\u2019\u02bc\u2032\u00b4", "'"),  # quotation marks, the apostrophe proper, primes
    **dict.fromkeys("\u201c\u201d\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),  # hyphens, dashes, minus
    **dict.fromkeys("\u223c\u301c", "~"),
    **dict.fromkeys("\u2248\u2245\u2243", "="),
    **dict.fromkeys("\u22c5\u2219", "·"),
    **dict.fromkeys("\u2215\u2044", "/"),
    **dict.fromkeys("\u2715\u2716\u2a2f", "×"),
    **dict.fromkeys("\u2192\u21d2", " to "),
    "\u3002": ". ",
    "\uff0c": ", ",
    "\u3001": ", ",
    "\u2022": "-",
    "\u25c1": "<",  # the brackets of some models' think tags
    "\u25b7": ">",
}
_SUPERSCRIPT = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b\u207a]+")


# The one other language that models slip into often, those made in China above all.
_CHINESE = {
    chinese: f" {english} "
    for row in (
        "红色 red 红 red 蓝色 blue 蓝 blue 绿色 green 绿 green 黄色 yellow 黄 yellow 白色 white 黑色 black 橙色 orange",
        "边界框 box 边框 box 框 box 物体 object 对象 object 目标 object 车 car 答案 answer 速度 speed 距离 distance",
        "不同 different 不一致 different 不一样 different 不相同 different 相反 opposite 相同 same 同一 same 一致 same",
        "一样 same 方向 direction 同时 simultaneously 比 than 没有 not 不是 not 不 not 是的 yes 是 is 因此 therefore",
        "所以 therefore 但 but 快 faster 慢 slower 远 farther 更短 shorter 更长 longer 更大 greater 更小 less",
        "公里/小时 km/h 千米/小时 km/h 公里每小时 km/h 千米每小时 km/h 米/秒 m/s 米每秒 m/s 公里 km 千米 km 厘米 cm",
        "米 m 点钟 o'clock 秒 seconds 从 from 到 to 至 to 平均 average 总 total 约 about",
    )
    for chinese, english in zip(row.split()[::2], row.split()[1::2], strict=True)
}
_IN_CHINESE = re.compile("|".join(sorted(_CHINESE, key=len, reverse=True)))


@lru_cache(maxsize=4096)
def _plain_sign(sign: str) -> str:
    """One sign at a time: in one piece, a long run of combining marks takes quadratic time to put in order."""
    if sign in _SIGNS:
        return _SIGNS[sign]
    if unicodedata.category(sign) in ("Cf", "Mn"):  # zero-width, variation selectors, combining marks
        return ""
    digit = unicodedata.decimal(sign, None)
    if digit is not None:  # of any script
        return str(digit)
    plain = unicodedata.normalize("NFKC", sign)
    if "\u2044" in plain:  # the half of "2½"
        return " " + plain.replace("\u2044", "/")
    return "".join(_SIGNS.get(part, part) for part in plain)


def plain(text: str) -> str:
    """The text in lower case and, but for foreign letters, in ASCII."""
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda run: "^" + unicodedata.normalize("NFKC", run[0]), text)  # "m s⁻¹"
        text = "".join(map(_plain_sign, text))
        text = _IN_CHINESE.sub(lambda word: _CHINESE[word[0]], text)
    return html.unescape(text).lower() if "&" in text else text.lower()


# What the model says at last

_TURN = re.compile(
    r"<\|im_start\|>\s*(?P<a>\w+)|<\|start_header_id\|>\s*(?P<b>\w+)<\|end_header_id\|>|<start_of_turn>\s*(?P<c>\w+)"
    r"|<\|(?P<d>user|human|assistant|system)\|>|(?:^|[\s#])(?P<e>user|human|assistant|gpt)\s?:"
    r"|(?:^[ #*]{0,8}|(?<=[?.!]) )(?P<f>question|q|answer|a)[* ]{0,4}:"
    r"|(?P<end><\|im_end\|>|<\|endoftext\|>|<\|end_of_text\|>|<\|end\|>|<\|eot_id\|>|<end_of_turn>|<eos>|</s>)",
    re.MULTILINE,
)
_THINK = re.compile(r"<(/?)(?:think|thinking|thought|thoughts|reasoning|analysis|scratchpad|reflection)>|<(/)think>")
_FINAL_CHANNEL = "<|channel|>final<|message|>"
_ANSWER_TAG = re.compile(r"<(?:answer|final_answer|final answer|final|result)>|<\|begin_of_box\|>")
_BOX_TAGS = (("<box>", "</box>"), ("<|box_start|>", "<|box_end|>"), ("<bbox>", "</bbox>"), ("<quad>", "</quad>"))
_ANSWER_MARK = re.compile(
    r"\b(?:answer|conclusion|conclude|in summary|final result|final estimate)['\"]?[* ]{0,4}"
    r"(?: would be\b| is\b| that\b|:|=|,|\n)"
)


def _first_turn(text: str) -> str:
    """What is said before the template's end, or before the model goes on to speak for the user."""
    start, asking = 0, False
    for mark in _TURN.finditer(text):
        role = next((mark[group] for group in "abcdef" if mark[group]), "end")
        if mark["f"] in ("answer", "a") and not asking:
            continue  # "Answer: 20 m" after reasoning is no turn
        said = not asking and text[start : mark.start()].strip(" \n#*")
        if said:
            return said
        start, asking = mark.end(), role in ("user", "human", "system", "question", "q")
    return "" if asking else text[start:]


def _after_reasoning(text: str) -> str | None:
    """What stands outside of <think>; None where there is nothing."""
    marks = list(_THINK.finditer(text))
    if not marks:
        return text
    closed = [mark for mark in marks if mark[1] or mark[2]]
    rest = text[closed[-1].end() if closed else marks[-1].end() :]
    if not closed:  # it answers in tags without having closed its thoughts, or not at all
        rest = rest if _ANSWER_TAG.search(rest) else ""
    return rest if rest.strip() else text[: marks[0].start()].strip() or None


def _without(text: str, opening: str, closing: str) -> str:
    """The text without what stands between two tags."""
    first, *rest = text.split(opening)
    return first + " ".join(part.partition(closing)[2] for part in rest)


def _boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{}, braces in it balanced, and the words after it: "\boxed{20} meters"."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    depth, start = 0, text.index("{", start)
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            end = start + brace.end()
            after = re.match(r"[^\n.;,(\[]{0,30}", text[end:])
            return text[start:end] + (after[0] if after else "")
    return text[start:].partition("\n")[0]


_ANSWER_KEYS = (
    "final_answer",
    "final answer",
    "finalanswer",
    "answer",
    "prediction",
    "result",
    "final",
    "choice",
    "output",
)
_REASONING_KEYS = words(
    "reasoning reason thought thoughts thinking think explanation rationale analysis steps step confidence certainty"
    " question task id note notes frame frames bbox box bounding_box description justification evidence"
)


def _json_text(text: str) -> str | None:
    """An answer in JSON, alone or in a code fence, as lines "key (unit): value unit"; None where there is none."""
    first = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    last = max(text.rfind("}"), text.rfind("]"))
    fenced = text.rpartition("```json")[2].partition("```")[0] if "```json" in text else ""
    for candidate in (fenced, text[first : last + 1] if 0 <= first < last else ""):
        if '"' in candidate or candidate.startswith("["):
            try:
                return _as_lines(json.loads(candidate, parse_int=str, parse_float=str))
            except (ValueError, RecursionError):
                continue
    return None


def _as_lines(value: Any, depth: int = 0) -> str:
    if isinstance(value, dict):
        unit = next((f" {value[key]}" for key in ("unit", "units") if isinstance(value.get(key), str)), "")
        for key in _ANSWER_KEYS:
            if value.get(key) not in (None, "", [], {}):
                return _as_lines(value[key], depth + 1) + unit
        told = {key: item for key, item in value.items() if key not in _REASONING_KEYS and key not in ("unit", "units")}
        if depth > 3:
            return ""
        return "\n".join(_as_line(_as_words(key), item, unit, depth + 1) for key, item in told.items())
    if isinstance(value, list):
        if any(isinstance(item, (dict, list)) for item in value):
            return "\n".join(_as_lines(item, depth + 1) for item in value) if depth <= 3 else ""
        return f"[{', '.join(_as_lines(item, depth + 1) for item in value)}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _as_line(name: str, value: Any, unit: str, depth: int) -> str:
    if isinstance(value, bool):  # "same_direction": false
        return name if value else f"not {name}"
    return f"{name}: {_as_lines(value, depth)}{unit}"


def _as_words(key: str) -> str:
    """For "speed_m_s" it is "speed (m/s)"."""
    *name, last = key.replace("-", "_").split("_")
    if name and last in ("s", "sec", "h", "hr", "hour") and name[-1] in ("m", "km", "mi", "ft"):
        last = f"{name.pop()}/{last}"
    return f"{' '.join(name)} ({last})" if name else last


def scopes(response: str) -> list[str] | None:
    """The parts of a response that may state its answer, the likeliest first; None where it is all reasoning."""
    text = _after_reasoning(_first_turn(plain(response).rpartition(_FINAL_CHANNEL)[2]))
    if text is None:
        return None
    tags = list(_ANSWER_TAG.finditer(text))
    if tags:
        inside = re.split(r"</|<\|", text[tags[-1].end() :], maxsplit=1)[0]
        text = inside if inside.strip() else text
    for opening, closing in _BOX_TAGS:
        if opening in text:
            text = _without(text, opening, closing)
    found = [_boxed(text), _json_text(text)]
    for mark in reversed(list(_ANSWER_MARK.finditer(text))[-3:]):
        after = text[mark.end() :].lstrip(" \n*:#\"'")
        found += [after.partition("\n")[0], after]
    cleaned = [_without_markup(scope) for scope in [*found, text] if scope]
    return [scope for scope in dict.fromkeys(cleaned) if scope]


# Markup

_LATEX = {
    "times": "×",
    "cdot": "·",
    "div": "/",
    "approx": "=",
    "sim": "~",
    "simeq": "=",
    "pm": "±",
    "circ": "°",
    "to": " to ",
    "rightarrow": " to ",
    "frac": "",
    "dfrac": "",
    "tfrac": "",
    "left": "",
    "right": "",
}
_FRACTION = re.compile(r"(\d?)\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_COMMAND = re.compile(r"\\([a-z]+)")
_MARKUP = re.compile(r"~~[^~]*~~|\\[,;:! ]|```[a-z]*|`|<\|?/?[a-z][^<>]*>|[\\$*_]")
_LIST_MARK = re.compile(r"^(?:\d\d?[.)]|[-+>*])\s+(?=\S)|^#+\s*", re.ASCII)
_PRODUCT = re.compile(r" \* |(?<=\d)\*(?=\d)")
_TABLE_RULE = re.compile(r"[|\s:-]+")
_OCLOCK = re.compile(r"(?<![a-z])[' -]?o[' -]{0,3}clocks?\b")
_ABBREVIATION = re.compile(r"\b(approx|approximately|vs|e\.g|i\.e|ca|avg|est|incl)\.")


def _without_markup(text: str) -> str:
    """The text without Markdown, LaTeX and tags; lines stay, as they separate sentences."""
    if "\\" in text:
        text = _FRACTION.sub(lambda part: f"{part[1]} {part[2]}/{part[3]} ", text)
        text = _COMMAND.sub(lambda command: _LATEX.get(command[1], " "), text)
    lines = []
    for line in text.splitlines():
        line = _PRODUCT.sub(" × ", _LIST_MARK.sub("", line.strip()))
        line = _LIST_MARK.sub("", _MARKUP.sub(" ", line).replace("{", "").replace("}", "").strip())
        if not _TABLE_RULE.fullmatch(line):
            lines.append(" ".join(line.replace("|", " ").split()))
    text = _ABBREVIATION.sub(r"\1", "\n".join(lines).strip())
    return _OCLOCK.sub(" o'clock", text.replace("-per-", " per "))


# Clauses and tokens

# The point, colon and comma of "3.5", "0:03" and "[3.5, 6.0]" end no clause.
_END = re.compile(
    r"(?P<sentence>[.!?](?=[\s\"')]|$)|[;\n]|\.\.+)"
    r"|:(?![\d])|,(?= \D)| - (?=[a-z])|\b(?:but|however|although|though|while|whereas|because|since)\b"
)
_CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|consequently|in conclusion|conclude|concluded|to sum up|in summary|final answer|overall"
    r"|actually|in fact|in reality|or rather|i mean)\b|^so\b|^(?:final|result)\b"
)
_DIGIT = re.compile(r"\d", re.ASCII)
_TOKEN = re.compile(
    r"(?:(?<![^\s(\[=:~])-)?(?:[1-9]\d{0,2}(?:[ ']\d{3})+(?![\d'])(?:[.,]\d+)?|\d[\d.,:]*\d|\d)(?:e[+-]?\d+)?"
    r"|(?<![\w.])\.\d+|[a-z][\w']*|\S",
    re.ASCII,
)
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?", re.ASCII)
_THOUSANDS_POINT = re.compile(r"-?[1-9]\d{0,2}(?:\.\d{3})+,\d+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"-?(?:\d+,\d{1,2}|0,\d+)", re.ASCII)


class Clause(NamedTuple):
    """A piece of a sentence; `lead` are its words and those of the clauses without a number that lead up to it."""

    text: str
    tokens: Tokens
    lead: frozenset[str]
    sentence: int
    concludes: bool  # "Therefore, ..."


def clause_of(text: str) -> Clause:
    """A text as one clause."""
    tokens = tokens_of(text)
    return Clause(text, tokens, frozenset(tokens), 0, False)


def clauses_of(text: str) -> list[Clause]:
    """Split a text where a statement ends."""
    clauses: list[Clause] = []
    sentence, start, seen, concludes, measured = 0, 0, 0, False, False
    leading: list[Tokens] = []
    for mark in [*_END.finditer(text), None]:
        end = mark.start() if mark else len(text)
        measured = measured or bool(_DIGIT.search(text, seen, end))
        seen = end
        if mark and mark[0] == ":" and not measured:  # "Distance (ft): 66" is one statement
            continue
        piece, ends_sentence = text[start:end].strip(), mark and mark["sentence"]
        start, measured = mark.end() if mark else end, False
        if piece:
            tokens = tokens_of(piece)
            leading = [*leading[-2:], tokens]
            concludes = concludes or bool(_CONCLUDES.search(piece))
            clauses.append(Clause(piece, tokens, frozenset().union(*leading), sentence, concludes))
            if any(map(is_number, tokens[: tokens.index("(") if "(" in tokens else None])):
                leading = []
        if ends_sentence:
            sentence, concludes, leading = sentence + 1, False, []
    return clauses


def tokens_of(clause: str) -> Tokens:
    """Words, numbers (plain decimals, or m:ss) and single signs."""
    tokens = []
    for match in _TOKEN.finditer(clause):
        token = match[0]
        if not is_number(token):
            tokens.append(_respelled(token.removesuffix("'s").removesuffix("'")) or "'")
            continue
        token = token.replace(" ", "").replace("'", "")
        in_brackets = clause[match.start() - 1 : match.start()] in ("[", "(") and clause[
            match.end() : match.end() + 1
        ] in ("]", ")")
        if in_brackets and token.count(",") == 1 and len(clause) > len(token):  # "[3,6]" is a pair
            tokens.extend(_split(token))
        elif _THOUSANDS.fullmatch(token):
            tokens.append(token.replace(",", ""))
        elif _THOUSANDS_POINT.fullmatch(token):
            tokens.append(token.replace(".", "").replace(",", "."))
        elif _DECIMAL_COMMA.fullmatch(token):
            tokens.append(token.replace(",", "."))
        else:  # "3.5,6.0" is two numbers
            tokens.extend(_split(token))
    return tokens


# Long words that an answer hangs on; a father, a shower and a meteor are no slips.
_SPELLED = sorted(
    words(
        "meter meters metre metres kilometer kilometers kilometre kilometres second seconds minute minutes faster"
        " fastest slower slowest quicker quickest farther farthest further furthest longer longest shorter shortest"
        " greater greatest higher highest larger largest different opposite perpendicular similar identical stationary"
    )
)
_SPELLED_OTHERWISE = words("father shower large linger loner meteor centre metro")


@lru_cache(maxsize=4096)
def _respelled(word: str) -> str:
    """The long word that it is with a letter too many, too few or changed, or with two letters swapped: "fsater"."""
    if not 5 <= len(word) <= 14 or word in _SPELLED or word in _SPELLED_OTHERWISE or not word.isalpha():
        return word
    return next((meant for meant in _SPELLED if meant[0] == word[0] and _is_slip(word, meant)), word)


def _is_slip(word: str, meant: str) -> bool:
    """Whether two words are one slip apart; their first letters agree, and "slowed" and "fasten" end on purpose."""
    same = next((i for i, (a, b) in enumerate(zip(word, meant, strict=False)) if a != b), min(len(word), len(meant)))
    rest, others = word[same:], meant[same:]
    changed = len(rest) > 1 and rest[1:] == others[1:]
    swapped = rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return rest[1:] == others or rest == others[1:] or changed or swapped


def _split(token: str) -> Sequence[str]:
    return [part for part in re.split("(,)", token) if part]


def is_number(token: str) -> bool:
    return token[-1].isdecimal() and not token[0].isalpha()


def is_negation(token: str) -> bool:
    return token in {"not", "never", "neither", "nor", "isnt", "doesnt"} or token.endswith("n't")


REFUSAL = re.compile(
    r"\b(?:sorry|cannot|can not|can't|could not|couldn't|unable|impossible|not possible|not enough|insufficient|unknown"
    r"|unclear|unsure|uncertain|undetermined|indeterminate|n/a|no way to|no information|not sure"
    r"|not (?:clear|visible|provided|specified|shown|given|available|applicable|determinable|present)"
    r"|(?:don't|do not) (?:know|have)|(?:does not|doesn't) (?:provide|show|contain)"
    r"|(?:difficult|hard) to (?:determine|tell|say))\b"
)
