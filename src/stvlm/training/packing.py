"""Conversations about one clip as one sequence: what they share stands once, and each sees that and itself.

    sequence   <video> The video lasts ... | How far ...? It travels ... | Which is faster, ...? The red ...
    segment    0       0   0     0         | 1   1        1  1           | 2     2          2   2
    position   0       1   2     3         | 4   5        6  7           | 4     5          6   7

A token attends to the earlier tokens of its own segment and of segment 0. Positions restart with every segment, so each
conversation gets the activations, and its answer the loss, that it gets alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

import torch

from stvlm.evaluation.chat import as_messages

IGNORED = -100
"""The label of a token that carries no loss."""


class Conversation(NamedTuple):
    """Token ids of one question and its answer, and which of them the answer is."""

    ids: list[int]
    is_answer: list[bool]


class Packed(NamedTuple):
    """One row of a batch; four lists of equal length."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]


@lru_cache(maxsize=2**16)
def tokenize(processor: Any, prompt: str, answer: str) -> Conversation:
    """A conversation with one placeholder for the video; the chat template's generation marks tell the answer."""
    encoded = processor.tokenizer.apply_chat_template(
        as_messages(prompt, answer),
        chat_template=processor.chat_template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    is_answer = [bool(flag) for flag in encoded["assistant_masks"]]
    if not any(is_answer):
        raise ValueError("the chat template has no {% generation %} marks: no token would carry loss")
    return Conversation(list(encoded["input_ids"]), is_answer)


def expand_video(conversation: Conversation, video_token_id: int, count: int) -> Conversation:
    """The conversation with `count` placeholders, one for each visual token, in place of the one."""
    at = conversation.ids.index(video_token_id)
    ids, is_answer = conversation
    return Conversation(
        ids[:at] + [video_token_id] * count + ids[at + 1 :], is_answer[:at] + [False] * count + is_answer[at + 1 :]
    )


def pack(conversations: Sequence[Conversation]) -> Packed:
    """Conversations behind the tokens with which all of them begin."""
    columns = zip(*(conversation.ids for conversation in conversations), strict=False)
    shared = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))
    # An answer's tokens are never shared, and one token at least stays of a conversation.
    shared = min([shared, *(conversation.is_answer.index(True) - 1 for conversation in conversations)])
    ids, positions, segments = conversations[0].ids[:shared], list(range(shared)), [0] * shared
    labels = [IGNORED] * shared
    for segment, conversation in enumerate(conversations, 1):
        own = conversation.ids[shared:]
        ids += own
        positions += range(shared, shared + len(own))
        segments += [segment] * len(own)
        labels += [token if flag else IGNORED for token, flag in zip(own, conversation.is_answer[shared:], strict=True)]
    return Packed(ids, positions, segments, labels)


def as_batch(sequences: Sequence[Packed], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Sequences padded to one length L: input_ids, position_ids and labels (B, L), and an attention_mask.

    The mask is (B, 1, L, L) bool where sequences hold several conversations, else the usual (B, L): fused attention
    kernels take no other.
    """
    length = max(len(sequence.ids) for sequence in sequences)

    def padded(name: str, fill: int) -> torch.Tensor:
        rows = [getattr(sequence, name) for sequence in sequences]
        return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

    segments = padded("segments", -1)
    mask = segments >= 0
    if segments.max() > 1:
        may_see = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
        mask = (may_see & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
    return {
        "input_ids": padded("ids", pad_token_id),
        "position_ids": padded("positions", 0),
        "attention_mask": mask,
        "labels": padded("labels", IGNORED),
    }
