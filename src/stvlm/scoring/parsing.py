"""What an answer in free text says: the part that states it, and the reader for its task."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .choices import COLORS, said_yes_or_no, settle
from .measures import read_measure, read_ratio, values_of
from .moments import read_hour, read_interval
from .references import COMPARISONS, TASKS, check_choices, check_task
from .references import Parsed as Parsed
from .sameness import read_sameness
from .text import REFUSAL, Clause, clauses_of, plain, scopes, tokens_of, words
from .winners import read_winner

_SUPPOSED = words("if example instance hypothetical hypothetically suppose supposing e.g")
_COUNTERFACTUAL = re.compile(r"\b(?<!i )(?:would|could|might)(?:n't| not)? have\b")
_UNDECIDED = re.compile(  # "To find out which is faster, ..." states nothing
    r"\b(?:whether|(?:determine|decide|find out|check|figure out) (?:if|which|who)|(?:tell|see|compare) (?:which|who))"
    r"\b[^.,;:!?\n]*"
)
_UNREAL = words("if had without unless otherwise")
_CUT_OFF = re.compile(r"(?<=[.!?\n,])[^.!?\n,]*\b(?:is|are|was|were|has)$")
_COLOR = "|".join(sorted(COLORS))
_BOX = rf"(?:{_COLOR}) (?:\w+ )?(?:box|rectangle|frame|outline|border|bbox)\b"
_PAINT = re.compile(  # "the blue car in the red box", "the red-boxed blue car", "the red box (the blue car)"
    rf"()\b(?:{_COLOR}) (?=(?:[a-z]+ ){{1,2}}(?:(?:in|inside|within|with) (?:the |a )?|\()(?:{_BOX}))"
    rf"|\b(boxed |box, an? |box (?:contains|encloses|surrounds|shows|marks|has) an? )(?:{_COLOR}) (?=[a-z])"
    rf"|\b(box \((?:an? |the )?)(?:{_COLOR}) (?=[a-z]+\))"
)
_CORRECTS = re.compile(  # a clause that takes back what stands before it
    r"(?<=[\s.!?,;:(-])(?<!\w )(?:(?:but|and|no|hmm|oh)[ ,]{1,2})?"
    r"(?:(?:wait|actually|hold on|oops|sorry|correction|corrected|(?:scratch|strike) that|or rather"
    r"|i mean|on (?:second thoughts?|closer inspection|reflection)|looking (?:closer|again)|my mistake"
    r"|i (?:was wrong|made (?:a mistake|an error)|need to correct|have to correct|must correct)"
    r"|let me (?:re|correct|double|fix)[\w-]*)\b|no(?= ?[,.:;-]| wait))"
)
_SOMETIMES = words("sometimes occasionally alternately alternate alternating varies vary depends depending")
_LAST_CORRECTIONS = 3
_SEEMED = re.compile(  # "I first thought it was 20 m, but it is 30 m"
    r"\b(?:(?:i|we|you|one) (?:\w+ )?(?:thought|assumed|estimated|guessed|believed|think|expect|assume)"
    r"|at first (?:glance|sight|look)"
    r"|(?:looks?|seems?|appears?) (?:as (?:if|though)|at first)|(?:seemed|appeared|looked)\b)"
    r"[^\n]{0,200}?\b(?:but|however|in fact|in reality)\b"
)
_SENTENCE_END = re.compile(r"(?<=[!?\n])|(?<=\.)(?=\s)")
_CONCEDES = re.compile(r"\b(?:even though|even if|although|despite)\b(?:[^.,;\n]|[.,](?=\d))*")
_STEPS = words("first firstly step initially then let")
_OPTION = re.compile(r"(?:^|[\s(])([a-f])[).:]\s", re.ASCII)
_LETTER = re.compile(
    r"(?:the )?(?:correct )?(?:option |answer |choice )?(?:is )?[(\[]?([a-f])[)\]]?"
    r"(?: is (?:the )?(?:correct|right)(?: answer)?)?\s*[.:)]*"
)


def _option_named(answer: str, question: str) -> str | None:
    """The text of the option whose letter is the whole answer, where the question lists options by letters."""
    match = _LETTER.fullmatch(answer)
    if match is None:
        return None
    text = plain(question)
    marks = list(_OPTION.finditer(text))
    letters = [mark[1] for mark in marks]
    if len(letters) < 2 or letters != list("abcdef"[: len(letters)]) or match[1] not in letters:
        return None
    place = letters.index(match[1])
    end = marks[place + 1].start() if place + 1 < len(marks) else len(text)
    return text[marks[place].end() : end].strip(" \n,;()")


def parse_answer(task: str, text: str, choices: Sequence[str] = (), question: str = "") -> Parsed:
    r"""Read what a response in free text answers.

    Only what it concludes counts: what follows `</think>`, stands in `<answer>`, `\boxed{}` or JSON, or comes after
    "answer:". Lengths and speeds in other units become metres and km/h; a bare number is in the unit that `question`
    asks for, else in these. `choices` are needed for comparisons; `question` tells "which is faster?" from "which is
    slower?".

    Returns Parsed(None, reason) where nothing can be read. Raises ValueError for an unknown task or missing choices.
    """
    check_task(task)
    check_choices(choices)
    if task in COMPARISONS and len(choices) < 2:
        raise ValueError(f"{task} needs two choices or more, got {list(choices)}")
    parts = scopes(text)
    if parts is None:
        return Parsed(None, "reasoning without an answer")
    parsed = Parsed(None, "empty")
    for part in parts:
        for said in _in_the_end(_option_named(part, question) or part):
            parsed = _read(task, said, choices, plain(question))
            if parsed.value is not None:
                return parsed
        if not parsed.reason.startswith("no "):
            break
    if parsed.reason.startswith("several"):  # an answer first, and reasons of many numbers after it
        headline = _headline(parts[-1])
        return _read(task, headline, choices, plain(question)) if headline else parsed
    return parsed


def _in_the_end(text: str) -> list[str]:
    """What is left of an answer once it corrects itself, the last correction first, and at last the whole answer."""
    corrected = [text[mark.end() :] for mark in list(_CORRECTS.finditer(text))[: -_LAST_CORRECTIONS - 1 : -1]]
    stated = " ".join(said for said in _SENTENCE_END.split(text) if not said.rstrip().endswith("?"))
    conceded = _CONCEDES.sub(" ", _SEEMED.sub(" ", stated))
    return [said for said in dict.fromkeys([*corrected, conceded, stated, text]) if said.strip(" .,:;!?)-")]


def _headline(text: str) -> str:
    """The line that stands before all others, where it is no first step of several."""
    first, _, rest = text.partition("\n\n")
    is_one = bool(rest) and "\n" not in first and not first.endswith(":")
    return first if is_one and _STEPS.isdisjoint(tokens_of(first)) else ""


def _read(task: str, answer: str, choices: Sequence[str], question: str) -> Parsed:
    if task in COMPARISONS:
        answer = _PAINT.sub(r"\1\2\3", answer)
        answer = _CUT_OFF.sub("", _UNDECIDED.sub("", answer))
    everything = clauses_of(answer)
    if task in TASKS:
        unreal = _unreal(everything)
        everything = [clause for clause in everything if clause.sentence not in unreal]
    # "I cannot tell if it is 20 m or 200 m" has numbers and no answer; "I cannot be sure, but about 20 m" has one.
    clauses = [clause for clause in everything if not REFUSAL.search(clause.text)]
    refuses = len(clauses) < len(everything)
    if refuses:  # "Hard to say: they may go the same way, or different ways"
        open_ = {clause.sentence for clause in everything if REFUSAL.search(clause.text)}
        clauses = [clause for clause in clauses if not (clause.sentence in open_ and clause.tokens[0] == "or")]
    if refuses:  # "I cannot tell. For example, at 10 m/s it would travel 50 m."
        supposed = {clause.sentence for clause in clauses if not _SUPPOSED.isdisjoint(clause.tokens)}
        clauses = [clause for clause in clauses if clause.sentence not in supposed]
    if task == "movement_direction":
        parsed = read_hour(clauses, question)
    elif task == "direction_timestamp":
        parsed = read_interval(clauses, question)
    elif task == "speed_ratio":
        parsed = read_ratio(clauses, question)
    elif task in COMPARISONS:
        parsed = _read_choice(task, clauses, choices, question)
    else:
        parsed = read_measure(clauses, task, question)
    if parsed.value is None and refuses:
        return Parsed(None, "refusal")
    return parsed


def _unreal(clauses: list[Clause]) -> set[int]:
    """The sentences of what was not: "If the truck had not braked, the blue one would have traveled farther"."""
    would = {clause.sentence for clause in clauses if _COUNTERFACTUAL.search(clause.text)}
    return {clause.sentence for clause in clauses if clause.sentence in would and not _UNREAL.isdisjoint(clause.tokens)}


def _read_choice(task: str, clauses: list[Clause], choices: Sequence[str], question: str) -> Parsed:
    """A choice in words; where there is none, "yes" is the first and "no" the second."""
    clauses = [clause for clause in clauses if _SOMETIMES.isdisjoint(clause.tokens)]
    if task == "movement_direction_comparison":
        verdict = read_sameness(clauses, question)
    else:
        verdict = read_winner(clauses, choices, question, values_of(task, clauses, choices), task)
    return Parsed(*settle(verdict, said_yes_or_no(clauses, choices, question)))
