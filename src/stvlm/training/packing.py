"""Conversations as token sequences, and sequences as a batch; two ways to spend no computation twice or on padding.

Conversations about one medium can be one sequence: what they share stands once, and each sees that and itself.

    sequence   <video> The video lasts ... | How far ...? It travels ... | Which is faster, ...? The red ...
    segment    0       0   0     0         | 1   1        1  1           | 2     2          2   2
    position   0       1   2     3         | 4   5        6  7           | 4     5          6   7

A token attends to the earlier tokens of its own segment and of segment 0. Positions restart with every segment, so each
conversation gets the activations, and its answer the loss, that it gets alone.

And the sequences of a group can be one row, without padding. There positions restart with every sequence, which is what
tells attention kernels where one ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from stvlm.records import Array, DataError
from stvlm.training.samples import Asked, Medium

IGNORED = -100
"""The label of a token that carries no loss."""


class MediumTokens(NamedTuple):
    """What stands for a video or an image in a sequence, in place of one placeholder."""

    ids: Array
    """(n,)."""
    positions: Array
    """(axes, n), from 0."""
    span: int
    """The position of the token that follows."""


class Conversation(NamedTuple):
    """Tokens of a conversation: ids (n,), which of them answer (n,), and positions (axes, n)."""

    ids: Array
    is_answer: Array
    positions: Array


class Packed(NamedTuple):
    """A sequence: ids, segments and labels (n,), and positions (axes, n)."""

    ids: Array
    positions: Array
    segments: Array
    labels: Array


@lru_cache(maxsize=2**15)
def tokenize(processor: Any, turns: tuple[Asked, ...], medium: Medium) -> tuple[Array, Array]:
    """Ids (n,) with one placeholder for the medium, and which of them answer (n,), by the template's generation marks.

    Raises DataError for a template without such marks, and where not one placeholder stands for one medium.
    """
    messages: list[dict[str, Any]] = []
    for prompt, answer in turns:
        messages.append({"role": "user", "content": [{"type": "text", "text": prompt}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    if medium:
        messages[0]["content"].insert(0, {"type": medium})
    encoded = processor.tokenizer.apply_chat_template(
        messages,
        chat_template=processor.chat_template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids = np.array(encoded["input_ids"], dtype=np.int32)  # many are kept
    is_answer = np.array(encoded["assistant_masks"], dtype=bool)
    if not is_answer.any():
        raise DataError(
            "the chat template has no {% generation %} marks around what the assistant says, so that no token would "
            "carry loss; use one of training/"
        )
    for kind, token in (("video", processor.video_token_id), ("image", processor.image_token_id)):
        if (found := int((ids == token).sum())) != (kind == medium):
            raise DataError(
                f"{found} placeholders of {kind}s stand in a conversation with {medium or 'nothing'} to see, as in "
                f"{turns[0].prompt[:60]!r}; use the chat template of training/ that is for this model, and take "
                f"{processor.video_token} and {processor.image_token} out of texts"
            )
    return ids, is_answer


def sequence(
    processor: Any, axes: int, conversations: Sequence[Sequence[Asked]], medium: Medium, tokens: MediumTokens | None
) -> Packed:
    """Conversations about one medium, whose tokens are given, or about none."""
    placed = []
    for turns in conversations:
        ids, is_answer = tokenize(processor, tuple(turns), medium)
        if tokens is None:
            placed.append(Conversation(ids, is_answer, _steps(0, len(ids), axes)))
        else:
            placeholder = processor.video_token_id if medium == "video" else processor.image_token_id
            placed.append(_with_medium(ids, is_answer, placeholder, tokens))
    return pack(placed)


def _with_medium(ids: Array, is_answer: Array, placeholder: int, medium: MediumTokens) -> Conversation:
    """A conversation with the tokens of its medium in place of the one placeholder."""
    at = int(np.flatnonzero(ids == placeholder)[0])
    axes, rest = len(medium.positions), len(ids) - at - 1
    return Conversation(
        np.concatenate([ids[:at], medium.ids, ids[at + 1 :]]),
        np.concatenate([is_answer[:at], np.zeros(len(medium.ids), dtype=bool), is_answer[at + 1 :]]),
        np.concatenate([_steps(0, at, axes), at + medium.positions, _steps(at + medium.span, rest, axes)], axis=1),
    )


def _steps(start: int, count: int, axes: int) -> Array:
    """Positions of text: (axes, count), one further with every token."""
    return np.tile(np.arange(start, start + count), (axes, 1))


def pack(conversations: Sequence[Conversation]) -> Packed:
    """Conversations behind the tokens with which all of them begin."""
    least = min(len(conversation.ids) for conversation in conversations)
    columns = np.stack([conversation.ids[:least] for conversation in conversations])
    differs = (columns != columns[0]).any(axis=0)
    shared = int(differs.argmax()) if differs.any() else least
    # An answer's tokens are never shared, and one token at least stays of a conversation.
    shared = min([shared, *(int(conversation.is_answer.argmax()) - 1 for conversation in conversations)])
    first = conversations[0]
    ids, positions, labels = [first.ids[:shared]], [first.positions[:, :shared]], [np.full(shared, IGNORED)]
    lengths = [shared]
    for own in conversations:
        ids.append(own.ids[shared:])
        positions.append(own.positions[:, shared:])
        labels.append(np.where(own.is_answer, own.ids, IGNORED)[shared:])
        lengths.append(len(own.ids) - shared)
    return Packed(
        np.concatenate(ids),
        np.concatenate(positions, axis=1),
        np.repeat(np.arange(len(lengths)), lengths),
        np.concatenate(labels),
    )


def unasked(medium: MediumTokens) -> Packed:
    """A medium that nothing is said about: it carries no loss."""
    count = len(medium.ids)
    return Packed(medium.ids, medium.positions, np.zeros(count, dtype=int), np.full(count, IGNORED))


def as_batch(sequences: Sequence[Packed], pad_token_id: int, padding_free: bool = False) -> dict[str, torch.Tensor]:
    """Sequences as a batch (B, L), padded to the longest or, padding-free, one after the other as (1, L).

    input_ids and labels (B, L); position_ids (B, L), or (axes, B, L) of several axes; attention_mask.
    The mask is (B, 1, L, L) bool where sequences hold several conversations, else the usual (B, L): fused attention
    kernels take no other. Padding-free there is none but in the first case: restarting positions tell the rest, which
    transformers looks at where it is called with use_cache=False, as trainers do.
    """
    # Segments of one sequence are a multiple of `most` and the numbers after it.
    most = 1 + max(int(sequence.segments.max()) for sequence in sequences)
    sequences = [s._replace(segments=s.segments + i * most) for i, s in enumerate(sequences)]
    if padding_free:
        sequences = [Packed(*(np.concatenate(parts, axis=-1) for parts in zip(*sequences, strict=True)))]
    length = max(len(sequence.ids) for sequence in sequences)

    def padded(name: str, fill: int) -> torch.Tensor:
        rows = [getattr(sequence, name) for sequence in sequences]
        rows = [
            np.pad(row, [(0, 0)] * (row.ndim - 1) + [(0, length - row.shape[-1])], constant_values=fill) for row in rows
        ]
        return torch.from_numpy(np.stack(rows, axis=-2)).long()

    segments = padded("segments", -1)
    positions = padded("positions", 0)
    batch = {
        "input_ids": padded("ids", pad_token_id),
        "position_ids": positions[0] if len(positions) == 1 else positions,
        "labels": padded("labels", IGNORED),
    }
    if most > 2:
        own, other = segments[:, :, None], segments[:, None, :]
        may_see = (own == other) | (own - own % most == other)
        batch["attention_mask"] = (may_see & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
    elif not padding_free:
        batch["attention_mask"] = segments >= 0
    return batch
