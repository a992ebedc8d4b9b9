"""Images without distortion and in a smaller size, and boxes there and back."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance, encode_mask
from stvlm.pseudo_labels.videos.video import Video
from stvlm.pseudo_labels.views import view_of
from stvlm.records import Array, Camera, Recording

PINHOLE = Camera("camera", 1920, 1080, 1545.0, 1545.0, 960.0, 560.0)
NUPLAN = replace(PINHOLE, distortion=(-0.356123, 0.172545, -0.00213, 0.000464, -0.05231))
FISHEYE = Camera("camera", 1920, 1080, 900.0, 900.0, 960.0, 540.0, (0.03, -0.01, 0.002, -0.0005), "fisheye")


@dataclass(frozen=True)
class Images:
    """Satisfies ``records.Frames``."""

    image: Array

    def available(self) -> Array:
        return np.ones(2, dtype=bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        return self.image


def video(camera: Camera, boxes_px: Array | None = None, image: Array | None = None) -> Video:
    times_s, size_px = np.array([0.0, 0.1]), (camera.width_px, camera.height_px)
    boxes = None
    if boxes_px is not None:
        no = np.zeros(2, dtype=bool)
        track = ObjectTrack("1", "car", boxes_px, (~np.isnan(boxes_px[:, 0])).astype(float), no, no)
        boxes = ObjectTracks(times_s, size_px, (track,), Provenance("hand"))
    frames = Images(np.zeros((camera.height_px, camera.width_px, 3), np.uint8) if image is None else image)
    return Video(
        Recording("video_folder", "a", "train"), "driving", times_s, size_px, frames, None, camera, boxes=boxes
    )


def test_of_4k_a_third_is_seen() -> None:
    """A pixel of the view covers three by three: its middle is the second's, and borders of -0.5 stay there."""
    camera = Camera("camera", 3840, 2160, 3000.0, 3000.0, 1919.5, 1079.5)
    boxes_px = np.array([[2.5, 5.5, 32.5, 65.5], [np.nan] * 4])
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[3:6, 6:9] = 90
    image[3, 6] = 180
    view = view_of(video(camera, boxes_px, image), 1280)
    assert view.footage.image_size_px == (1280, 720)
    assert view.K_px is not None
    np.testing.assert_allclose(view.K_px, [[1000, 0, 639.5], [0, 1000, 359.5], [0, 0, 1]])
    seen = view.read(0)
    assert seen.shape == (720, 1280, 3) and seen[1, 2].tolist() == [100, 100, 100]  # (8 * 90 + 180) / 9
    assert seen.any(axis=2).sum() == 1
    objects = view.objects()
    assert objects is not None and objects.image_size_px == (1280, 720)
    found_px = objects.tracks[0].boxes_px
    np.testing.assert_allclose(found_px[0], [0.5, 1.5, 10.5, 21.5])
    assert np.isnan(found_px[1]).all()
    np.testing.assert_allclose(view.boxes_in_video(found_px), boxes_px)


def test_what_is_small_enough_is_left_as_it_is() -> None:
    boxes_px = np.array([[2.5, 5.5, 32.5, 65.5], [np.nan] * 4])
    for most_side_px in (1920, None):
        given = video(PINHOLE, boxes_px)
        view = view_of(given, most_side_px)
        assert view.objects() is given.boxes and view.read(0) is given.frames.read(0)


def with_masks(camera: Camera) -> Video:
    """A track of two frames, the first with pixels in columns 4 to 8 and rows 0 to 2, the second in columns 2 and 3."""
    mask, thin = np.zeros((2, camera.height_px, camera.width_px), dtype=bool)
    mask[:3, 4:9], thin[:, 2:4] = True, True
    given = video(camera, np.array([[3.5, -0.5, 8.5, 2.5], [1.5, -0.5, 3.5, 5.5]]))
    assert given.boxes is not None
    track = replace(given.boxes.tracks[0], masks=(encode_mask(mask), encode_mask(thin)))
    return replace(given, boxes=replace(given.boxes, tracks=(track,)))


def test_a_mask_is_what_lies_at_the_middles_of_pixels() -> None:
    """Of 12 x 6 pixels a third: the view's are columns 1, 4, 7 and 10, and rows 1 and 4."""
    camera = Camera("camera", 12, 6, 10.0, 10.0, 5.5, 2.5)
    objects = view_of(with_masks(camera), 4).objects()
    assert objects is not None and objects.tracks[0].masks is not None
    counts, thin = objects.tracks[0].masks
    assert counts is not None and counts.tolist() == [2, 1, 1, 1, 3]  # the upper pixels of the middle two columns
    assert thin is None
    bent = view_of(with_masks(replace(camera, distortion=NUPLAN.distortion)), None).objects()
    assert bent is not None and bent.tracks[0].masks is None


@pytest.mark.parametrize("most_side_px", [None, 640])
@pytest.mark.parametrize("camera", [NUPLAN, FISHEYE], ids=["five coefficients", "fisheye"])
def test_through_a_lens_and_back(camera: Camera, most_side_px: int | None) -> None:
    """Boxes grow a little, around what became of their rims, and hold those that they came from."""
    boxes_px = np.array([[100.0, 80, 400, 300], [1500, 700, 1850, 1000]])
    view = view_of(video(camera, boxes_px), most_side_px)
    objects = view.objects()
    assert objects is not None
    there_px = objects.tracks[0].boxes_px
    back_px = view.boxes_in_video(there_px)
    assert (back_px[:, :2] <= boxes_px[:, :2] + 0.01).all() and (back_px[:, 2:] >= boxes_px[:, 2:] - 0.01).all()
    grown = (back_px[:, 2:] - back_px[:, :2]) / (boxes_px[:, 2:] - boxes_px[:, :2])
    assert grown.max() < (2.0 if camera.lens == "fisheye" else 1.35)
    # A point's width and height are none, so that it comes back to where it was.
    rows, columns = np.mgrid[40:1080:200, 40:1920:230]
    points_px = np.stack([columns.ravel(), rows.ravel()] * 2, axis=1).astype(float)
    np.testing.assert_allclose(view._boxes(view._boxes(points_px, view._to_view), view._to_video), points_px, atol=0.05)


@pytest.mark.parametrize("most_side_px", [None, 640])
@pytest.mark.parametrize("camera", [NUPLAN, FISHEYE], ids=["five coefficients", "fisheye"])
def test_images_and_boxes_are_straightened_alike(camera: Camera, most_side_px: int | None) -> None:
    """A bright square, and the box around it, have the same middle in the view."""
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[200:221, 400:421] = 255
    boxes_px = np.array([[399.5, 199.5, 420.5, 220.5], [np.nan] * 4])
    view = view_of(video(camera, boxes_px, image), most_side_px)
    row, column, _ = center_of_mass(view.read(0).astype(float))
    objects = view.objects()
    assert objects is not None
    x0, y0, x1, y1 = objects.tracks[0].boxes_px[0]
    np.testing.assert_allclose([column, row], [(x0 + x1) / 2, (y0 + y1) / 2], atol=0.5)
    assert np.isnan(objects.tracks[0].boxes_px[1]).all()


def test_a_thin_line_is_averaged_where_a_lens_is_straightened_too() -> None:
    """Of every third column, one is white: a third of the view's light, wherever its pixels come from."""
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[:, ::3] = 255
    seen = view_of(video(NUPLAN, image=image), 640).read(0)
    assert seen[100:260, 100:540].min() > 75 and seen[100:260, 100:540].max() < 95
