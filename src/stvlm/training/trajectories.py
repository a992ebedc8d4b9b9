"""What a model made from nothing learns before it reads a question: where boxes are, and how what is in them has moved.

An answer is a few tokens about a whole clip, and which frames it follows from it does not say. Here each frame's last
token is asked instead how every object has moved until then, by linear heads on the language model's hidden states; the
vision tower is asked in the same way where the boxes are. All objects and frames are learned from at once, no words are
needed, and the heads are thrown away afterwards: what is left is a LLaVA-OneVision like any other.

The heads read some layers below the last. A question's tokens can look at what they find there, and have layers left to
make words of it; what only the last layer knows of a frame, no other token ever sees. That words do look at frames is
asked for as well: one layer later, every token of a text is to tell what the last frame's told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from stvlm.kinematics import HEADING_BASE_M, HOUR_RAD, MOVING_STEP_M, MPS_TO_KMH, STEP_S, direction_intervals
from stvlm.records import COLORS_RGB, Array, Rejected

COLORS = tuple(COLORS_RGB)
PAIRS = tuple(combinations(range(len(COLORS)), 2))
HOURS = 12
UNKNOWN = -1
"""The hour where there is none yet."""

# What brings each quantity to about -1 to 1.
_PLACE_M, _AHEAD_M, _STEP_M, _NET_M, _YAW_RAD = 20.0, 30.0, 3.0, 10.0, 1 / 3
_LOG_METERS, _LOG_KMH, _LOG_RATIO = 2.0, 2.5, 2.0
_MIDDLE_S = 4.0
_BOX_SHARE = 0.3
_EXACT_BOX, _EXACT = 0.01, 0.05
"""Errors under these count squared, larger ones linearly."""


class Cut(NamedTuple):
    """n frames of a clip, every 0.5 s, and what they show; object j has a box of colour `colors[j]`."""

    frames: torch.Tensor  # (n, 3, h, w) uint8
    colors: tuple[str, ...]
    boxes: Array  # (J, n, 4) x0, y0, x1, y1 as shares of the image's width and height; NaN where unseen
    xyz_m: Array  # (J, n, 3) world frame
    world_SE3_camera: Array  # (n, 4, 4)


def mirrored(cut: Cut) -> Cut:
    """The clip of a world whose left is right."""
    return Cut(
        cut.frames.flip(-1),
        cut.colors,
        cut.boxes[..., [2, 1, 0, 3]] * (-1, 1, -1, 1) + (1, 0, 1, 0),
        cut.xyz_m * (1.0, -1.0, 1.0),
        np.diag((1.0, -1.0, 1.0, 1.0)) @ cut.world_SE3_camera @ np.diag((-1.0, 1.0, 1.0, 1.0)),
    )


class Targets(NamedTuple):
    """What is to be told of n frames, for C colours; NaN, and UNKNOWN of the hours, where it is not known."""

    boxes: torch.Tensor  # (C, n, 4) centre, width, height
    motion: torch.Tensor  # (C, n, MOTION)
    hours: torch.Tensor  # (C, n, 2) int64, 0 for 12 o'clock: of the heading until then, and of the last step
    pairs: torch.Tensor  # (P, n, 2)
    camera: torch.Tensor  # (n, 4) turned and moved since the first frame, and for how long


MOTION = 15


def targets_of(cut: Cut) -> Targets:
    """What the frames show, as numbers for the heads; positions are on the ground, seen from the first camera."""
    n, shape = len(cut.frames), len(COLORS)
    boxes, motion = (np.full((shape, n, width), np.nan, np.float32) for width in (4, MOTION))
    hours = np.full((shape, n, 2), UNKNOWN, np.int64)
    pairs = np.full((len(PAIRS), n, 2), np.nan, np.float32)
    ahead = cut.world_SE3_camera[0, :2, 2] / np.linalg.norm(cut.world_SE3_camera[0, :2, 2])
    right_ahead = np.array([[ahead[1], -ahead[0]], ahead])
    start_m = cut.world_SE3_camera[0, :2, 3]
    net_m = {}
    for color, box, xyz_m in zip(cut.colors, cut.boxes, cut.xyz_m, strict=True):
        c = COLORS.index(color)
        centre = box[:, :2] + box[:, 2:] - 1
        boxes[c] = np.concatenate([centre, (box[:, 2:] - box[:, :2]) / _BOX_SHARE - 1], axis=1)
        net_m[c] = xyz_m[:, :2] - xyz_m[0, :2]
        steps_m = np.diff(xyz_m, axis=0)
        way_m = np.concatenate([[0.0], np.linalg.norm(steps_m, axis=1).cumsum()])
        turn_rad, step_turn_rad = turns(xyz_m)
        motion[c, :, :2] = (xyz_m[:, :2] - start_m) @ right_ahead.T / _PLACE_M - (0, _AHEAD_M / _PLACE_M)
        motion[c, 1:, 2:4] = steps_m[:, :2] @ right_ahead.T / _STEP_M
        motion[c, :, 4] = np.log1p(way_m) - _LOG_METERS
        motion[c, 1:, 5] = np.log1p(MPS_TO_KMH * way_m[1:] / (STEP_S * np.arange(1, n))) - _LOG_KMH
        motion[c, :, 6:8] = np.stack([np.cos(turn_rad), np.sin(turn_rad)], axis=1)
        motion[c, :, 8:10] = np.stack([np.cos(step_turn_rad), np.sin(step_turn_rad)], axis=1)
        motion[c, :, 10:12] = net_m[c] @ right_ahead.T / _NET_M
        motion[c, :, 12:14] = centre
        motion[c, :, 14] = _begun_s(xyz_m, np.isfinite(step_turn_rad)) / _MIDDLE_S - 1
        for kind, angle_rad in enumerate((turn_rad, step_turn_rad)):
            known = np.isfinite(angle_rad)
            hours[c, known, kind] = np.rint(angle_rad[known] / HOUR_RAD).astype(int) % HOURS
    for p, (a, b) in enumerate(PAIRS):
        if a in net_m and b in net_m:
            lengths_m = np.linalg.norm(net_m[a], axis=1), np.linalg.norm(net_m[b], axis=1)
            far = np.minimum(*lengths_m) > HEADING_BASE_M
            product = lengths_m[0][far] * lengths_m[1][far]
            pairs[p, far, 0] = (net_m[a][far] * net_m[b][far]).sum(axis=1) / product
            pairs[p, 1:, 1] = np.clip(motion[a, 1:, 4] - motion[b, 1:, 4], -_LOG_RATIO, _LOG_RATIO)
    yaw_rad = np.unwrap(np.arctan2(cut.world_SE3_camera[:, 1, 2], cut.world_SE3_camera[:, 0, 2]))
    moved_m = (cut.world_SE3_camera[:, :2, 3] - start_m) @ right_ahead.T
    turned, passed = (yaw_rad - yaw_rad[0]) / _YAW_RAD, STEP_S * np.arange(n) / _MIDDLE_S - 1
    camera = np.column_stack([turned, moved_m / _NET_M, passed]).astype(np.float32)
    return Targets(*map(torch.from_numpy, (boxes, motion, hours, pairs, camera)))


def _begun_s(xyz_m: Array, known: Array) -> Array:
    """When, at each position (n, 3), it began to move into the hour into which it moves there, in seconds (n,).

    NaN where it moves into none, and where that is not `known` (n,) from what was seen until then.
    """
    begun_s = np.full(len(xyz_m), np.nan)
    runs = direction_intervals(xyz_m)
    for run in () if isinstance(runs, Rejected) else runs:
        begun_s[run.first + 1 : run.last + 1] = run.first * STEP_S
    return np.where(known, begun_s, np.nan)


def turns(xyz_m: Array) -> tuple[Array, Array]:
    """Clockwise angles in radians (n,) at each position (n, 3), from what was seen until then; NaN where not known.

    Of the heading there and of the step to there, both against the initial heading (see `kinematics`).
    """
    xy_m = xyz_m[:, :2]
    heading_rad, step_rad = np.full(len(xy_m), np.nan), np.full(len(xy_m), np.nan)
    far = np.flatnonzero(np.linalg.norm(xy_m - xy_m[0], axis=1) >= HEADING_BASE_M)
    if len(far):
        initial_rad = np.arctan2(*(xy_m[far[0]] - xy_m[0])[::-1])
        for t in range(far[0], len(xy_m)):
            away = xy_m[t] - xy_m[:t]
            lengths_m = np.linalg.norm(away, axis=1)
            base = np.flatnonzero(lengths_m >= HEADING_BASE_M)
            if len(base):
                heading_rad[t] = initial_rad - np.arctan2(*away[base[-1]][::-1])
            if lengths_m[-1] >= MOVING_STEP_M:
                step_rad[t] = initial_rad - np.arctan2(*away[-1][::-1])
    return heading_rad, step_rad


class Losses(NamedTuple):
    """Means over all that is known."""

    boxes: torch.Tensor
    motion: torch.Tensor
    hours: torch.Tensor


class Heads(nn.Module):  # type: ignore[misc]
    """What reads a model's hidden states while it is made.

    Args:
        hidden_size: of the language model.
        frame_tokens: how many tokens a frame has.
    """

    def __init__(self, hidden_size: int, frame_tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.boxes = nn.Linear(hidden_size * frame_tokens, len(COLORS) * 4)
        self.motion = nn.Linear(hidden_size, len(COLORS) * MOTION)
        self.hours = nn.Linear(hidden_size, len(COLORS) * 2 * HOURS)
        self.pairs = nn.Linear(hidden_size, len(PAIRS) * 2)
        self.camera = nn.Linear(hidden_size, 4)
        for layer in (self.boxes, self.motion, self.hours, self.pairs, self.camera):
            nn.init.normal_(layer.weight, std=0.02)

    def boxes_loss(self, features: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Of frames' features (B, n, T, hidden), before the language model, for stacked targets (B, ...)."""
        b, n = features.shape[:2]
        told = self.boxes(features.reshape(b, n, -1)).view(b, n, len(COLORS), 4).transpose(1, 2)
        return _error(told, targets.boxes, _EXACT_BOX)

    def losses(self, features: torch.Tensor, hidden: torch.Tensor, targets: Targets) -> Losses:
        """All of them; `hidden` (B, n, hidden) are the hidden states of frames' last tokens."""
        (b, n), hidden = hidden.shape[:2], self.norm(hidden)
        motion = self.motion(hidden).view(b, n, len(COLORS), MOTION).transpose(1, 2)
        hours = self.hours(hidden).view(b, n, len(COLORS), 2, HOURS).transpose(1, 2)
        pairs = self.pairs(hidden).view(b, n, len(PAIRS), 2).transpose(1, 2)
        told = [(motion, targets.motion), (pairs, targets.pairs), (self.camera(hidden), targets.camera)]
        return Losses(
            self.boxes_loss(features, targets),
            torch.stack([_error(a, b, _EXACT) for a, b in told]).sum(),
            cross_entropy(hours.reshape(-1, HOURS), targets.hours.reshape(-1), ignore_index=UNKNOWN),
        )

    def clip_losses(
        self, hidden: torch.Tensor, clip: torch.Tensor, targets: Targets
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of motion and hours, at the last frame of clips (K,) int64, told by hidden states (K, hidden) of words."""
        hidden = self.norm(hidden)
        motion = self.motion(hidden).view(-1, len(COLORS), MOTION)
        pairs = self.pairs(hidden).view(-1, len(PAIRS), 2)
        told = [(motion, targets.motion[clip, :, -1]), (pairs, targets.pairs[clip, :, -1])]
        return (
            torch.stack([_error(a, b, _EXACT) for a, b in told]).sum(),
            cross_entropy(
                self.hours(hidden).reshape(-1, HOURS), targets.hours[clip, :, -1].reshape(-1), ignore_index=UNKNOWN
            ),
        )


def _error(told: torch.Tensor, truth: torch.Tensor, exact: float) -> torch.Tensor:
    known = torch.isfinite(truth)
    each = smooth_l1_loss(told, truth.nan_to_num(), beta=exact, reduction="none") * known
    return each.sum() / known.sum().clamp(min=1)


def stacked(cuts: Sequence[Cut]) -> Targets:
    """The targets of cuts of one length, (B, ...)."""
    return Targets(*(torch.stack(of_all) for of_all in zip(*map(targets_of, cuts), strict=True)))


def frame_tokens(model: Any) -> int:
    """How many tokens a frame is to a LLaVA-OneVision: patches are pooled by two in both axes."""
    vision = model.config.vision_config
    return int(math.ceil(vision.image_size // vision.patch_size / 2) ** 2)


class Read(NamedTuple):
    """What a model makes of clips of n frames and a text."""

    hidden: torch.Tensor  # (B, L, hidden) last hidden states
    features: torch.Tensor  # (B, n, T, hidden) of frames' tokens, before the language model
    seen: torch.Tensor  # (B, n, hidden) hidden states of frames' last tokens after `layer` layers
    later: torch.Tensor  # (B, L, hidden) of all tokens after one layer more, or after the last


def read(model: Any, layer: int, pixel_values: torch.Tensor, input_ids: torch.Tensor, **batch: torch.Tensor) -> Read:
    """Of clips (B, n, 3, h, w) and token ids (B, L) with a placeholder for each of the video's tokens."""
    output = model.model(
        input_ids=input_ids, pixel_values_videos=pixel_values, use_cache=False, output_hidden_states=True, **batch
    )
    hidden, (b, n) = output.last_hidden_state, pixel_values.shape[:2]
    of_video = output.hidden_states[layer][input_ids == model.config.video_token_id]
    # After the frames' tokens comes one that ends the video.
    features, seen = (
        states.view(b, -1, hidden.shape[-1])[:, :-1].unflatten(1, (n, -1))
        for states in (output.video_hidden_states, of_video)
    )
    later = output.hidden_states[min(layer + 1, len(output.hidden_states) - 1)]
    return Read(hidden, features, seen[:, :, -1], later)


def features_of(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What the language model is given of the frames of clips (B, n, 3, h, w): (B, n, T, hidden)."""
    config = model.config
    given = model.get_video_features(
        pixel_values,
        vision_feature_layer=config.vision_feature_layer,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
    ).pooler_output
    return given[:, :-1].unflatten(1, (pixel_values.shape[1], -1))
