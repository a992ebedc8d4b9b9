"""A picture of a built dataset for people: for each clip its boxed frames, a view from above, questions and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from stvlm.dataset.folder import TRAJECTORIES
from stvlm.dataset.video import draw_outline, outline_px, read_video
from stvlm.hashing import stable_hash
from stvlm.records import COLORS_RGB, Array, DataError

FRAME_PX, MAP_PX, MARGIN_PX, LINE_PX = 280, 200, 12, 17
"""Width of a frame, side of the view from above, space between parts, height of a line of text."""
INK, FAINT, PAPER = (20, 20, 20), (150, 150, 150), (255, 255, 255)


class _Clip(NamedTuple):
    """What decides whether a clip is shown."""

    folder: Path
    has_video: bool
    is_compared: bool


def contact_sheet(dataset: Path, clips: int = 6, frames: int = 5, clip_ids: Sequence[str] = ()) -> Image.Image:
    """The sheet of a dataset folder; raises DataError where the folder is none.

    Args:
        dataset: a folder that dataset_builder/build.py wrote.
        clips: how many clips are shown: those with video first, and every other one with a comparison. Which of these
            is arbitrary, but always the same.
        frames: how many frames of each clip are shown, from its first to its last.
        clip_ids: the clips to show instead.
    """
    tables = sorted(dataset.glob("*/*/metadata.parquet"))
    trajectories = dataset / TRAJECTORIES / "clips.parquet"
    if not tables or not trajectories.exists():
        raise DataError(f"{dataset}: no built dataset; give the folder that was --out of dataset_builder/build.py")
    try:
        strips = _strips(tables, trajectories, clips, frames, clip_ids)
    except (pa.ArrowException, av.FFmpegError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{dataset}: does not read ({error}); build or fetch the dataset again") from error
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + MARGIN_PX for strip in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height + MARGIN_PX
    return sheet


def _strips(
    tables: Sequence[Path], trajectories: Path, clips: int, frames: int, clip_ids: Sequence[str]
) -> list[Image.Image]:
    """One clip each."""
    found = {clip_id: facts for table in tables for clip_id, facts in _clips(table).items()}
    unknown = [clip_id for clip_id in clip_ids if clip_id not in found]
    if unknown:
        dataset = trajectories.parents[1]
        raise DataError(f"{dataset}: no clip is called {unknown[0]!r}; the ids are in the column clip_id")
    chosen = clip_ids or _in_order(found)[:clips]
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for table in sorted({found[clip_id].folder / "metadata.parquet" for clip_id in chosen}):
        for row in _rows(table, chosen):
            rows_of.setdefault(row["clip_id"], []).append(row)
    motion = {row["clip_id"]: row for row in _rows(trajectories, chosen)}
    return [_strip(rows_of[clip_id], motion[clip_id], found[clip_id].folder, frames) for clip_id in chosen]


def _rows(table: Path, clip_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some clips. Only the parts of the table that hold any are read: all of it need not fit in memory."""
    rows = []
    with pq.ParquetFile(table) as file:
        for part in range(file.num_row_groups):
            if not set(clip_ids).isdisjoint(file.read_row_group(part, ["clip_id"]).column(0).to_pylist()):
                rows += [row for row in file.read_row_group(part).to_pylist() if row["clip_id"] in clip_ids]
    return rows


def _clips(table: Path) -> dict[str, _Clip]:
    """The clips of a table."""
    has_video: dict[str, bool] = {}
    compared: set[str] = set()
    with pq.ParquetFile(table) as file:
        columns = {"clip_id", "choices", "file_name"} & {*file.schema_arrow.names}
        for batch in file.iter_batches(1000, columns=sorted(columns)):
            for row in batch.to_pylist():
                has_video[row["clip_id"]] = bool(row.get("file_name"))  # a published table may name none of a source
                if row["choices"]:
                    compared.add(row["clip_id"])
    return {clip_id: _Clip(table.parent, shown, clip_id in compared) for clip_id, shown in has_video.items()}


def _in_order(found: Mapping[str, _Clip]) -> list[str]:
    """The clips in the order in which they are shown."""
    shuffled = sorted(found, key=lambda clip_id: (not found[clip_id].has_video, stable_hash("sheet", clip_id)))
    groups = ([clip_id for clip_id in shuffled if found[clip_id].is_compared == which] for which in (True, False))
    in_turn = [clip_id for turn in zip_longest(*groups) for clip_id in turn if clip_id is not None]
    return sorted(in_turn, key=lambda clip_id: not found[clip_id].has_video)


def _strip(rows: list[dict[str, Any]], motion: dict[str, Any], folder: Path, frames: int) -> Image.Image:
    """One clip: frames and view from above in a line, then its questions."""
    n = len(rows[0]["frame_times_s"])
    shown = np.unique(np.linspace(0, n - 1, frames).round().astype(int))
    images = [Image.fromarray(image) for image in _frames(rows[0], folder, shown)]
    height = round(FRAME_PX * images[0].height / images[0].width)
    band = max(height, MAP_PX)
    font = ImageFont.load_default(13)
    width = len(images) * (FRAME_PX + MARGIN_PX) + MAP_PX
    lines = [f"{r['question']}  {r['answer']}  [{r['target']}]" for r in rows]
    wrapped = [part for line in lines for part in _wrap(line, width, font)]
    strip = Image.new("RGB", (width, LINE_PX * (2 + len(wrapped)) + band + MARGIN_PX), PAPER)
    draw = ImageDraw.Draw(strip)
    row = rows[0]
    title = f"{row['source']}  {row['scene_id']}  {row['camera']}  clip {row['clip_id']}  {(n - 1) / 2:.1f} s"
    draw.text((0, 0), title, INK, font)
    for i, (frame, image) in enumerate(zip(shown, images, strict=True)):
        left = i * (FRAME_PX + MARGIN_PX)
        strip.paste(image.resize((FRAME_PX, height), Image.Resampling.LANCZOS), (left, LINE_PX))
        draw.text((left, LINE_PX + height), f"{frame / 2:.1f} s", FAINT, font)
    strip.paste(view_from_above(motion), (width - MAP_PX, LINE_PX))
    for i, line in enumerate(wrapped):
        draw.text((0, LINE_PX * (2 + i) + band), line, INK, font)
    return strip


def _frames(row: dict[str, Any], folder: Path, shown: Array) -> list[Array]:
    """Frames of the clip's mp4; where there is none, its boxes on an empty image."""
    if row.get("file_name"):
        return list(read_video(folder / row["file_name"])[0][shown])
    _, _, cx_px, cy_px = row["intrinsics_px"]
    blank = np.full((2 * round(cy_px), 2 * round(cx_px), 3), 225, np.uint8)
    images = []
    for frame in shown:
        image = blank.copy()
        for item in row["objects"]:
            box_px = item["boxes_px"][frame]
            if box_px is not None:
                draw_outline(image, np.array(box_px), item["color"], outline_px(*blank.shape[1::-1]))
        images.append(image)
    return images


def view_from_above(motion: Mapping[str, Any]) -> Image.Image:
    """The objects' paths over the ground with a dot every 0.5 s, ringed at the start, and the camera's in grey.

    `motion` is a row of trajectories/clips.parquet.
    """
    paths_m = [np.array(path)[:, :2] for path in motion["xyz_m"]]
    camera_m = np.array(motion["world_SE3_camera"]).reshape(-1, 4, 4)[:, :2, 3]
    points_m = np.concatenate([*paths_m, camera_m])
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    span_m = max(*(high - low), 5.0) * 1.15
    corner = (low + high) / 2 - span_m / 2

    def place(xy_m: Array) -> list[tuple[float, float]]:
        xy = (xy_m - corner) / span_m * MAP_PX
        return [(float(x), float(MAP_PX - y)) for x, y in xy]  # y upwards

    view = Image.new("RGB", (MAP_PX, MAP_PX), (245, 245, 245))
    draw = ImageDraw.Draw(view)
    colors = list(COLORS_RGB.values())[: len(paths_m)]
    for path_m, color in [(camera_m, FAINT), *zip(paths_m, colors, strict=True)]:
        points = place(path_m)
        draw.line(points, fill=color, width=2)
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)
        x, y = points[0]
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=color, width=2)
    metres = _round_length(span_m / 4)
    draw.line(((8, MAP_PX - 8), (8 + metres / span_m * MAP_PX, MAP_PX - 8)), fill=INK, width=2)
    draw.text((8, MAP_PX - 28), f"{metres:g} m", INK, ImageFont.load_default(13))
    return view


def _round_length(metres: float) -> float:
    """1, 2 or 5 times a power of ten, at most `metres`."""
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(step * power for step in (1, 2, 5) if step * power <= metres))


def _wrap(text: str, width_px: int, font: Any) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and font.getlength(f"{line} {word}") > width_px:
            lines.append(line)
            line = "    " + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
