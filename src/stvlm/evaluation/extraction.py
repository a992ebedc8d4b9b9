"""What a chat model reads from responses, to hold beside what the rules of stvlm.scoring read from them.

The paper has GPT-4 extract every answer, with a prompt that is not known. Scores here come from rules, which cost
nothing and give the same every time; this tells what a chat model makes of the same responses. It is given the question
and the response, and never what is right: knowing that, it would find it in responses that do not say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from stvlm.chat_api import Endpoint, Messages, complete
from stvlm.scoring import COMPARISONS, parse_answer

Row = Mapping[str, Any]

NONE = "none"
"""What the chat model is to say of a response without an answer."""
UNREADABLE = "unreadable extraction"
_NUMBER = r"\d{1,9}(?:\.\d{1,20})?"


class _Form(NamedTuple):
    pattern: re.Pattern[str]
    told: str


_FORMS = {
    task: _Form(re.compile(pattern, re.ASCII), told)
    for task, pattern, told in (
        ("traveled_distance", _NUMBER, 'meters, such as "20.15"'),
        ("traveling_speed", _NUMBER, 'km/h, such as "15.04"'),
        ("movement_direction", r"[1-9]|1[0-2]", 'an hour of the clock, such as "10"'),
        ("direction_timestamp", f"{_NUMBER}-{_NUMBER}", 'start and end in seconds, such as "3.50-6.00"'),
        ("time_to_cover", _NUMBER, 'seconds, such as "12.50"'),
        ("catch_up_time", _NUMBER, 'seconds, such as "12.50"'),
        ("speed_ratio", _NUMBER, 'how many times as fast, such as "1.25"'),
    )
}
"""As the dataset prints a target, but with any decimals, and zero too."""


class Extraction(NamedTuple):
    """What a chat model reads from a response."""

    answer: str
    """As the dataset prints a target, which scoring reads as any other prediction; empty where there is none."""
    failure: str = ""
    """Why nothing is known of what the model reads: no reply came, or one that is not in the form."""
    reply: str | None = None
    """Its words; None where it was not asked, as of an empty response, and where no reply came."""


def extract(
    endpoint: Endpoint, rows: Sequence[Row], responses: Sequence[str], replies: Path | None = None
) -> list[Extraction]:
    """What the endpoint's model reads from the response to each row.

    Args:
        endpoint: whom to ask.
        rows: of a dataset.
        responses: to their questions, in the same order.
        replies: folder that keeps what was replied: that is not asked for again.

    Raises DataError where the endpoint answers nothing; a single failure is told in its Extraction.
    """
    found = [Extraction("")] * len(rows)
    asked = [index for index, response in enumerate(responses) if response.strip()]
    requests = (as_request(rows[index], responses[index]) for index in asked)
    for number, reply in tqdm(complete(endpoint, requests, replies), "extracting", len(asked), unit="response"):
        if reply.text is None:
            found[asked[number]] = Extraction("", f"no reply: {reply.failure}")
        else:
            answer = read_reply(reply.text, rows[asked[number]])
            failure = UNREADABLE if answer is None else ""
            found[asked[number]] = Extraction(answer or "", failure, reply.text)
    return found


def as_request(row: Row, response: str) -> Messages:
    """Asks which answer a response gives.

    Whatever is in the response stays between the quotation marks of a JSON string, in one line. Nor can it end the turn
    that it stands in: marks such as <|im_end|>, which a chat template's tokenizer takes for its own, lose their "<".
    """
    is_comparison = row["task"] in COMPARISONS
    told = {
        "question": row["question"],
        "form": "one of the choices" if is_comparison else _FORMS[row["task"]].told,
        **({"choices": list(row["choices"])} if is_comparison else {}),
        "response": response,
    }
    line = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return [{"role": "user", "content": prompt() + line}]


@cache
def prompt() -> str:
    """What is said before each response."""
    return files(__package__).joinpath("extraction_prompt.txt").read_text(encoding="utf-8")


def read_reply(reply: str, row: Row) -> str | None:
    """The answer that a reply names, empty where it says that there is none; None for a reply in another form."""
    text = reply.rpartition("</think>")[2].strip()
    text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        said = json.loads(text, parse_float=str, parse_int=str)  # 20.10 is as good as "20.10"
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.keys() != {"answer"} or not isinstance(said["answer"], str):
        return None
    answer: str = said["answer"]
    if answer == NONE:
        return ""
    task, choices = row["task"], row["choices"]
    is_formed = answer in choices if task in COMPARISONS else _FORMS[task].pattern.fullmatch(answer)
    # What is formed may still say nothing: an interval that ends before it starts.
    return answer if is_formed and parse_answer(task, answer, choices).value is not None else None
