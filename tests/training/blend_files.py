"""Data sets as they are fetched, small: LLaVA-Video-178K and OpenSpatialDataset in their own files."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from stvlm.dataset.video import VideoSettings, write_video

ACADEMIC, YOUTUBE = "0_30_s_academic_v0_1", "0_30_s_youtube_v0_1"


def said(*texts: str) -> list[dict[str, str]]:
    """Turns, human and gpt one after the other."""
    return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]


def write_mp4(path: Path, frames: int, step_s: float = 0.04) -> Path:
    """A real video, 25 frames a second."""
    images = (np.full((32, 48, 3), 40 + 5 * (i % 40), np.uint8) for i in range(frames))
    write_video(path, images, VideoSettings(), step_s)
    return path


def write_jpg(path: Path, size_px: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size_px[::-1], 3), np.uint8)).save(path)
    return path


def write_list(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


def write_llava_video(root: Path, videos: int = 4) -> Path:
    """Two folders, three lists: captions, open-ended questions (two turns) and multiple choice, one each a video."""
    rows = {kind: [] for kind in ("cap", "oe", "mc")}
    for number in range(videos):
        name = f"academic_source/Charades/A{number}.mp4"
        write_mp4(root / ACADEMIC / name, 50 + number)
        of_video = {"id": f"A{number}", "data_source": ACADEMIC, "video": name}
        rows["cap"].append({**of_video, "conversations": said("<image>\nDescribe it.", f"A caption of {number}.")})
        turns = said("<image>\nWho is there?", f"Person {number}.", "What does he do?", "He opens a door.")
        rows["oe"].append({**of_video, "conversations": turns})
        name = f"liwei_youtube_videos/videos/youtube_video_2024/ytb_{number}.mp4"
        write_mp4(root / YOUTUBE / name, 10)
        choice = "<image>\nWhich?\nA. One.\nB. Two.\nPlease respond with only the letter of the correct answer."
        of_video = {"id": f"ytb_{number}", "data_source": YOUTUBE, "video": name}
        rows["mc"].append({**of_video, "conversations": said(choice, "AB"[number % 2])})
    write_list(root / ACADEMIC / f"{ACADEMIC}_cap_processed.json", rows["cap"])
    write_list(root / ACADEMIC / "0_30_s_academic_oe_v0_1_qa_processed.json", rows["oe"])
    write_list(root / YOUTUBE / "0_30_s_youtube_mc_v0_1_qa_processed.json", rows["mc"])
    return root


def open_spatial_row(name: str, *texts: str, boxes: list, size_px: tuple[int, int] = (64, 48)) -> dict:
    masks = [{"size": [*size_px[::-1]], "counts": "PP`\\1"} for _ in boxes]
    return {"filename": name, "conversations": said(*texts), "bbox": boxes, "rle": masks}


def write_open_spatial(root: Path, images: int = 3) -> Path:
    rows = []
    for number in range(images):
        name = f"{number:x}0000"
        write_jpg(root / "train" / f"{name}.jpg")
        question = "<image>\nIs <mask> <depth> wider than <mask> <depth>?"
        boxes = [[0, 0, 32, 24], [16, 12, 64, 48]]
        rows.append(open_spatial_row(name, question, f"Region [0] is not, {number}.", boxes=boxes))
    return write_list(root / "result_10_depth_convs.json", rows)
