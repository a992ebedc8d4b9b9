"""What a model is shown: the clip, what controls leave of it, and depth maps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.tiny_dataset import write_dataset

from stvlm.dataset.video import VideoSettings, draw_outline, outline_px, write_video
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import CONTROLS, Shown, as_metadata, decode, read_depth
from stvlm.evaluation.run import CONTROLS as NAMES
from stvlm.records import DataError


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    dataset = write_dataset(tmp_path_factory.mktemp("data") / "tiny", clips_per_split=1)
    return load_split(str(dataset), "test").rows[0]


def moving(count=6, height=120, width=160):
    """A picture that is brighter from frame to frame, and to the right."""
    ramp = np.linspace(40, 120, width)[None, :, None] + 10 * np.arange(count)[:, None, None, None]
    return np.broadcast_to(ramp, (count, height, width, 3)).astype(np.uint8)


def test_every_control_but_text_has_its_frames():
    assert (*CONTROLS, "text_only") == NAMES


def test_black_and_static_take_the_picture_and_the_motion_away(row):
    frames = decode(Path(row["video_path"]))
    static, black = CONTROLS["static"](frames, row), CONTROLS["black"](frames, row)
    assert static.shape == black.shape == frames.shape
    assert not torch.equal(frames[0], frames[-1])
    assert torch.equal(static[-1], frames[0])
    assert black.max() == 0


def test_shuffled_has_the_same_frames_in_one_other_order():
    frames = torch.arange(40)[:, None, None, None].expand(40, 3, 2, 2)
    order = CONTROLS["shuffled"](frames, {"clip_id": "a"})[:, 0, 0, 0].tolist()
    assert sorted(order) == list(range(40)) != order
    assert CONTROLS["shuffled"](frames, {"clip_id": "a"})[:, 0, 0, 0].tolist() == order
    assert CONTROLS["shuffled"](frames, {"clip_id": "b"})[:, 0, 0, 0].tolist() != order
    for name in "abcdefgh":  # of two frames no order is left but the other one
        assert CONTROLS["shuffled"](frames[:2], {"clip_id": name})[:, 0, 0, 0].tolist() == [1, 0]


def color_cast(frames):
    """How far each pixel is from grey, (n, H, W)."""
    frames = frames.to(torch.int16)
    return (frames.amax(1) - frames.amin(1)).numpy()


def test_no_boxes_leaves_nothing_of_the_outlines_in_a_real_video(tmp_path):
    """Outlines of all colours, over one another, at the border, in grey video: what has a colour is theirs."""
    plain = moving()
    boxes = {"red": [30.5, 20.2, 90.0, 70.0], "blue": [60.0, 40.0, 170.0, 130.0], "green": [-5.0, 50.0, 50.0, 100.0]}
    drawn = plain.copy()
    for image in drawn[:5]:
        for color, box in boxes.items():
            draw_outline(image, np.array(box), color, outline_px(160, 120))
    write_video(tmp_path / "clip.mp4", iter(drawn), VideoSettings())
    frames = decode(tmp_path / "clip.mp4")
    objects = [{"color": color, "boxes_px": [box] * 5 + [None]} for color, box in boxes.items()]
    assert color_cast(frames)[:5].max(axis=(1, 2)).min() > 100
    filled = CONTROLS["no_boxes"](frames, {"objects": objects})
    assert color_cast(filled).max() < 12, "what compression leaves of colour is not to be seen"
    assert np.abs(filled.permute(0, 2, 3, 1).numpy().astype(int) - plain).max() < 16, "and the picture is as before"
    assert torch.equal(filled[5], frames[5]), "a frame without boxes stays as it is"


def test_what_is_shown(row, tmp_path):
    frames = decode(Path(row["video_path"]))
    depth_m = np.full((5, 2, 3), 40.0, np.float32)
    depth_m[0] = 0.0
    np.save(tmp_path / f"{row['clip_id']}.npy", depth_m)
    assert Shown()(row, "text_only") == []
    (video,) = Shown()(row, "model")
    assert torch.equal(video, frames)
    for control, first, last in (("model", 255, 128), ("no_boxes", 255, 128), ("static", 255, 255), ("black", 0, 0)):
        video, depth = Shown(tmp_path)(row, control)
        assert video.shape == frames.shape
        assert (depth.shape, depth.dtype) == ((5, 3, 2, 3), torch.uint8)
        assert (int(depth[0].max()), int(depth[-1].max())) == (first, last)
    with pytest.raises(DataError, match=r"\.mp4: has 5 frames, its row says 4"):
        Shown()({**row, "frame_times_s": row["frame_times_s"][:4]}, "model")


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        (np.zeros((4, 2, 2), np.float32), r"holds float32 of shape \(4, 2, 2\), not \(5, H, W\) floating point"),
        (np.zeros((5, 2, 2), np.uint16), "holds uint16 of shape"),
        (b"no array", "cannot be read as depth maps"),
    ],
)
def test_depth_maps_that_cannot_be_are_told(tmp_path, depth, told):
    path = tmp_path / "clip.npy"
    if isinstance(depth, bytes):
        path.write_bytes(depth)
    else:
        np.save(path, depth)
    with pytest.raises(DataError, match=told):
        read_depth(path, 5)


@pytest.mark.parametrize(("times_s", "fps"), [([0.0, 0.5, 1.0], 2.0), ([0.0, 1.0, 2.0], 1.0)])
def test_metadata_have_the_rate_of_the_clip(times_s, fps):
    assert as_metadata(times_s) == {
        "fps": fps, "total_num_frames": 3, "frames_indices": [0, 1, 2], "duration": 3 / fps
    }  # fmt: skip
