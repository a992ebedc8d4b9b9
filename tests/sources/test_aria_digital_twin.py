"""An Aria Digital Twin sequence made by hand, in its own world with y up, and the sample of the real dataset."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stvlm.dataset.clips import ClipLimits, make_clips
from stvlm.dataset.visibility import VisibilityGates
from stvlm.geometry import box_corners, inverse_se3, project_boxes, transform
from stvlm.questions.asking import Motion, QuestionGates, ask
from stvlm.records import Camera, DataError, Recording, Rejected, Scene, Track
from stvlm.sources import open_source
from stvlm.sources.aria_digital_twin import AriaDigitalTwin

HERE = Recording("aria_digital_twin", "walk", "train")
T0_NS, STEP_NS = 87_551_170_910_700, 100_000_000  # the trajectory has 87551170910 microseconds
STAMPS_NS = [T0_NS + i * STEP_NS for i in range(41)]
TABLE, CUP, ROOM, DOG = 10, 11, 12, 13
LEVEL, HALF = "1,0,0,0", math.sqrt(0.5)
CAMERA = {
    "name": "camera-rgb",
    "width_px": 640,
    "height_px": 480,
    "fx_px": 500,
    "fy_px": 500,
    "cx_px": 320,
    "cy_px": 240,
}
FORWARD = [
    [1, 0, 0, 0.1],
    [0, -1, 0, 0],
    [0, 0, -1, 0],
    [0, 0, 0, 1],
]  # looks along -z of the device, 0.1 m right of it
FILES = (
    "scene_objects.csv",
    "3d_bounding_box.csv",
    "2d_bounding_box.csv",
    "aria_trajectory.csv",
    "instances.json",
    "metadata.json",
)


def csv(path: Path, header: str, rows: Iterable[object]) -> None:
    path.write_text("\n".join([header, *map(str, rows)]) + "\n")


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """Somebody in glasses stands at the origin; somebody else walks by, 5 m off, from 2 m on the left to 2 m right."""
    folder = tmp_path / "walk"
    folder.mkdir()
    moving = [f"{CUP},{ns},{0.01 * i},1,-9,{LEVEL}" for i, ns in enumerate(STAMPS_NS)]
    csv(
        folder / "scene_objects.csv",
        "object_uid,timestamp[ns],t_wo_x[m],t_wo_y[m],t_wo_z[m],q_wo_w,q_wo_x,q_wo_y,q_wo_z",
        [f"{TABLE},-1,1,0,2,{LEVEL}", f"{ROOM},-1,0,0,0,{LEVEL}", *moving],
    )
    csv(
        folder / "3d_bounding_box.csv",
        "object_uid,timestamp[ns],p_local_obj_xmin[m],p_local_obj_xmax[m],p_local_obj_ymin[m],p_local_obj_ymax[m],"
        "p_local_obj_zmin[m],p_local_obj_zmax[m]",
        [f"{TABLE},-1,-0.5,0.5,0,0.8,-1,1", f"{CUP},-1,-0.1,0.1,0,0.1,-0.1,0.1", f"{ROOM},-1,-9,9,-9,9,-9,9"],
    )
    csv(
        folder / "aria_trajectory.csv",
        "graph_uid,tracking_timestamp_us,utc_timestamp_ns,tx_world_device,ty_world_device,tz_world_device,"
        "qx_world_device,qy_world_device,qz_world_device,qw_world_device,"
        "gravity_x_world,gravity_y_world,gravity_z_world,quality_score",
        [f"f27,{ns // 1000},-1,0,1.6,0.5,0,0,0,1,0,-9.81,0,0.8" for ns in STAMPS_NS],
    )
    named = {TABLE: "table", CUP: "cup", ROOM: "shelter"}
    write(folder / "instances.json", {str(uid): {"category": name} for uid, name in named.items()})
    write(folder / "metadata.json", {"serial": "1WM1", "dataset_version": "2.0"})
    people = [
        {"AssociatedDeviceSerial": "1WM1", "SkeletonId": 1, "SkeletonName": "Skeleton_T"},
        {"AssociatedDeviceSerial": "1WM2", "SkeletonId": 2, "SkeletonName": "Skeleton_C"},
        {"AssociatedDeviceSerial": "1WM1", "SkeletonId": 0, "SkeletonName": "NONE"},
    ]
    write(folder / "skeleton_aria_association.json", {"SkeletonMetadata": people})
    csv(
        folder / "2d_bounding_box.csv",
        "stream_id,object_uid,timestamp[ns],x_min[pixel],x_max[pixel],y_min[pixel],y_max[pixel],visibility_ratio[%]",
        [f"214-1,2,{ns},0,10,0,10,0.9" for ns in STAMPS_NS],
    )
    hips = [
        {"timestamp_ns": ns, "joints": [[-2 + 0.1 * i, 0.9, -4.5], [9, 9, 9]], "markers": []}
        for i, ns in enumerate(STAMPS_NS)
    ]
    write(folder / "Skeleton_C.json", {"frames": hips})
    write(folder / "camera.json", {"camera": CAMERA, "device_SE3_camera": FORWARD})
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def read(folder: Path) -> list[Scene | Rejected]:
    return list(AriaDigitalTwin(folder.parent).scenes(HERE))


def only_scene(folder: Path) -> Scene:
    (scene,) = (item for item in read(folder) if isinstance(item, Scene))
    return scene


def track(folder: Path, uid: int) -> Track:
    return {track.track_id: track for track in only_scene(folder).tracks}[str(uid)]


def test_a_point_with_y_up_becomes_one_with_z_up(walk: Path) -> None:
    table, cup, person = track(walk, TABLE), track(walk, CUP), track(walk, 2)
    np.testing.assert_allclose(table.xyz_m[0], [1, -2, 0.4])  # theirs: (1, 0.4, 2), half its height up
    assert table.size_lwh_m is not None and table.yaw_rad is not None
    np.testing.assert_allclose(table.size_lwh_m[0], [2, 1, 0.8])  # its front is its z axis
    assert table.yaw_rad[0] == pytest.approx(-math.pi / 2)  # theirs z: here -y
    np.testing.assert_allclose(cup.xyz_m[40], [0.4, 9, 1.05])
    np.testing.assert_allclose(person.xyz_m[[0, 40]], [[-2, 4.5, 0.9], [2, 4.5, 0.9]])
    assert (table.category, cup.category, person.category) == ("other", "other", "person")
    assert person.size_lwh_m is None and person.times_ns.tolist() == STAMPS_NS


@pytest.mark.parametrize(
    ("quat_wxyz", "xyz_m", "size_lwh_m", "yaw_rad"),
    [
        ([HALF, 0, HALF, 0], [1, -2, 0.4], [2, 1, 0.8], 0.0),  # turned left by a quarter: its front is along x
        ([HALF, 0, 0, HALF], [0.6, -2, 0.0], [2, 0.8, 1], -math.pi / 2),  # tipped onto its left side
    ],
)
def test_the_box_of_a_turned_object_stands_upright(
    walk: Path, quat_wxyz: list[float], xyz_m: list[float], size_lwh_m: list[float], yaw_rad: float
) -> None:
    path = walk / "scene_objects.csv"
    path.write_text(
        path.read_text().replace(f"{TABLE},-1,1,0,2,{LEVEL}", f"{TABLE},-1,1,0,2,{','.join(map(str, quat_wxyz))}")
    )
    table = track(walk, TABLE)
    assert table.size_lwh_m is not None and table.yaw_rad is not None
    np.testing.assert_allclose(table.xyz_m[0], xyz_m, atol=1e-12)
    np.testing.assert_allclose(table.size_lwh_m[0], size_lwh_m)
    assert table.yaw_rad[0] == pytest.approx(yaw_rad)


def test_the_camera_is_where_the_glasses_carry_it(walk: Path) -> None:
    scene = only_scene(walk)
    assert (scene.label_type, scene.domain, scene.split, scene.frames) == ("slam", "sports", "train", None)
    assert scene.camera == Camera("camera-rgb", 640, 480, 500.0, 500.0, 320.0, 240.0)
    assert scene.frame_times_ns.tolist() == STAMPS_NS  # of the annotations, where there are no images
    looks_along_y = [[1, 0, 0, 0.1], [0, 0, 1, -0.5], [0, -1, 0, 1.6], [0, 0, 0, 1]]
    np.testing.assert_allclose(scene.world_SE3_camera[7], looks_along_y, atol=1e-12)


def test_the_camera_turns_with_the_head(walk: Path) -> None:
    path = walk / "aria_trajectory.csv"
    path.write_text(path.read_text().replace("0.5,0,0,0,1,", f"0.5,0,{HALF},0,{HALF},"))  # to the left, scalar last
    looks_along_minus_x = [[0, 0, -1, 0], [1, 0, 0, -0.4], [0, -1, 0, 1.6], [0, 0, 0, 1]]
    np.testing.assert_allclose(only_scene(walk).world_SE3_camera[7], looks_along_minus_x, atol=1e-12)


def test_what_never_moves_is_there_throughout(walk: Path) -> None:
    every_half_second = STAMPS_NS[::5]  # a gap of over 1 s would end it
    assert track(walk, TABLE).times_ns.tolist() == every_half_second


def test_somebody_behind_a_wall_is_not_seen(walk: Path) -> None:
    path = walk / "2d_bounding_box.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("0.9", "0.39")
    lines[3] = lines[3].replace("214-1", "1201-1") + "\n" + lines[3].replace("214-1,2,", "214-1,7,")
    path.write_text("\n".join(lines))
    person = track(walk, 2)
    assert person.seen is not None and person.seen.tolist() == [True, False, False, *[True] * 38]


def test_the_wearer_is_counted_and_the_room_is_left_out(walk: Path) -> None:
    wearer, scene = read(walk)
    assert wearer == Rejected("person who wears the camera", "walk Skeleton_T")
    assert isinstance(scene, Scene) and [track.track_id for track in scene.tracks] == ["10", "11", "2"]


def test_an_object_without_extents_is_counted(walk: Path) -> None:
    path = walk / "3d_bounding_box.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(f"{TABLE},")))
    assert read(walk)[0] == Rejected("object without extents", str(TABLE))
    assert [track.track_id for track in only_scene(walk).tracks] == ["11", "2"]


def test_the_exported_images_are_the_frames(walk: Path) -> None:
    (walk / "images").mkdir()
    for ns in (STAMPS_NS[3] + 400, STAMPS_NS[1], STAMPS_NS[40] + 2_000_000):
        Image.new("RGB", (640, 480), (9, 9, 9)).save(walk / "images" / f"{ns}.jpg")
    _, late, scene = read(walk)
    assert late == Rejected("frame without an ego pose", f"walk at {STAMPS_NS[40] + 2_000_000} ns")
    assert isinstance(scene, Scene) and scene.frames is not None
    assert scene.frame_times_ns.tolist() == [STAMPS_NS[1], STAMPS_NS[3] + 400]
    assert scene.frames.available().tolist() == [True, True] and scene.frames.read(1)[0, 0].tolist() == [9, 9, 9]


def test_somebody_who_walks_by_is_asked_about(walk: Path) -> None:
    rejected: Counter[str] = Counter()
    clips = list(make_clips([only_scene(walk)], VisibilityGates(), ClipLimits(), rejected))
    questions = {q.task: q.target for clip in clips for _, q in ask(Motion.of(clip), QuestionGates(parts=0), Counter())}
    assert questions == {"traveled_distance": "4.00", "traveling_speed": "3.60"}  # 4 m in 4 s
    assert rejected == {"track: not an object that moves by itself": 2}


def test_without_the_export_there_is_no_calibration(walk: Path) -> None:
    (walk / "camera.json").unlink()
    _, item = read(walk)
    assert item == Rejected(
        "no calibration", f"{walk / 'camera.json'}: is missing; export it as docs/aria_digital_twin.md says"
    )


def test_every_sequence_is_train_unless_the_root_says_otherwise(walk: Path) -> None:
    (walk.parent / "lists").mkdir()
    assert AriaDigitalTwin(walk.parent).recordings() == [HERE]
    assert AriaDigitalTwin(walk).recordings() == [HERE]  # the sequence itself
    shutil.copytree(walk, walk.parent / "again" / "walk")
    twice = Rejected("sequence found twice", str(walk))
    assert AriaDigitalTwin(walk.parent).recordings() == [HERE, twice]
    shutil.rmtree(walk.parent / "again")
    write(walk.parent / "splits.json", {"test": ["walk"]})
    assert AriaDigitalTwin(walk.parent).recordings() == [Recording("aria_digital_twin", "walk", "test")]
    write(walk.parent / "splits.json", {"test": []})
    assert AriaDigitalTwin(walk.parent).recordings() == [Rejected("not in splits.json", "walk")]


@pytest.mark.parametrize("file", [*FILES, "skeleton_aria_association.json", "Skeleton_C.json", "camera.json"])
@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[3]", "a,b\n1,2\n"])
def test_a_damaged_file_is_one_line(walk: Path, file: str, content: str) -> None:
    (walk / file).write_text(content)
    (item,) = read(walk)
    assert isinstance(item, Rejected) and item.reason == "damaged file"
    assert item.subject.startswith(f"{walk / file}: ") and "\n" not in item.subject


def test_somebody_without_joints_costs_nobody_else(walk: Path) -> None:
    write(walk / "Skeleton_C.json", {"frames": []})
    assert Rejected("person without joints", "walk Skeleton_C") in read(walk)
    assert {track.track_id for track in only_scene(walk).tracks} == {str(TABLE), str(CUP)}


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("aria_trajectory.csv", swap("0,-9.81,0", "0,0,-9.81"), "gravity is not .*; download it again"),
        (
            "aria_trajectory.csv",
            swap(f"f27,{T0_NS // 1000}", "f27,"),
            "lacks column tracking_timestamp_us, or has empty cells in it",
        ),
        ("Skeleton_C.json", swap(str(T0_NS), f"{T0_NS}000000000"), "holds no joints at times"),
        ("metadata.json", swap("2.0", "1.0"), "is of version 1.0; download version 2.0"),
        ("metadata.json", swap(', "dataset_version": "2.0"', ""), "is of version 1.0; download version 2.0"),
        ("metadata.json", swap("serial", "number"), "has no serial number"),
        ("scene_objects.csv", swap("q_wo_w", "w"), "lacks column q_wo_w"),
        ("scene_objects.csv", swap(f"{TABLE},-1", ",-1"), "lacks column object_uid, or has empty cells in it"),
        ("scene_objects.csv", swap(f"{TABLE},-1,1", f"{TABLE},-1,far"), "'far'"),
        ("camera.json", swap("fx_px", "fx"), "camera: unknown key 'fx'"),
        ("camera.json", swap("0.1]", "]".replace("]", "0.1, 2]")), "device_SE3_camera is 4 rows of 4 numbers"),
        ("camera.json", swap("[[1, 0", "[[2, 0"), "device_SE3_camera is 4 rows of 4 numbers, a rotation"),
        ("camera.json", swap("[0, 0, -1, 0]", "[0, 0, 1, 0]"), "device_SE3_camera is 4 rows of 4 numbers, a rotation"),
        ("camera.json", swap("640", "-640"), "needs a positive size"),
    ],
)
def test_a_wrong_value_is_one_line(walk: Path, file: str, change: Callable[[str], str], message: str) -> None:
    text = (walk / file).read_text()
    assert change(text) != text
    (walk / file).write_text(change(text))
    (item,) = read(walk)
    assert isinstance(item, Rejected) and item.reason == "damaged file"
    assert re.match(f"{re.escape(str(walk / file))}: .*{message}", item.subject), item.subject


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no scene_objects\.csv beside aria_trajectory\.csv, so aria_digital_twin"
    ):
        open_source("aria_digital_twin", tmp_path, {}).recordings()


# --- six frames of the dataset ---------------------------------------------------------------------------------------

REALDATA = os.environ.get("STVLM_REALDATA")
needs_realdata = pytest.mark.skipif(REALDATA is None, reason="STVLM_REALDATA names no folder of real samples")
REAL = Path(REALDATA or "") / "aria" / "adt_test_data"
ROOT = Path(__file__).parent.parent.parent


@needs_realdata
def test_a_build_from_the_sample_ends_with_its_reasons(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "dataset_builder" / "build.py", ROOT / "dataset_builder/recipes/labelled.yaml"]
    options = ["--source", f"aria_digital_twin={REAL}", "--annotations-only", "--out", tmp_path / "out"]
    result = subprocess.run([*program, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert result.stderr.splitlines()[-1] == (
        "error: no question can be asked about the recordings of aria_digital_twin: person who wears the camera (1x, "
        f"adt_test_data Skeleton_T); no calibration (1x, {REAL}/camera.json: is missing; export it as "
        "docs/aria_digital_twin.md says); give another folder, or leave out --source aria_digital_twin"
    )


@needs_realdata
def test_the_samples_boxes_lie_where_the_dataset_draws_them(tmp_path: Path) -> None:
    """With the RGB camera of another pair of glasses, so not to the pixel, and only near the centre of the image, where
    its fisheye lens is like a pinhole: rays of up to 0.35 rad.
    """
    folder = tmp_path / "adt_test_data"
    folder.mkdir()
    for path in REAL.iterdir():
        (folder / path.name).symlink_to(path)
    w, x, y, z = 0.941575995616059, 0.332483969508643, 0.03396860324855, 0.041655593774964
    device_SE3_camera = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), -0.004005868551322],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), -0.011869797002275],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), -0.004418150827837],
        [0, 0, 0, 1],
    ]
    lens = {"width_px": 1408, "height_px": 1408, "fx_px": 610, "fy_px": 610, "cx_px": 714, "cy_px": 707}
    write(folder / "camera.json", {"camera": {"name": "camera-rgb"} | lens, "device_SE3_camera": device_SE3_camera})
    (recording,) = AriaDigitalTwin(folder).recordings()
    assert isinstance(recording, Recording)
    wearer, scene = AriaDigitalTwin(folder).scenes(recording)
    assert isinstance(wearer, Rejected) and isinstance(scene, Scene)
    # 304 still and 45 moving objects, but for the flat itself
    assert len(scene.frame_times_ns) == 2 and len(scene.tracks) == 348
    drawn = {}
    for line in (REAL / "2d_bounding_box.csv").read_text().splitlines()[1:]:
        stream, uid, ns, x0, x1, y0, y1, visible = line.split(",")
        if (stream, int(ns)) == ("214-1", scene.frame_times_ns[0]) and float(visible) > 0.9:
            drawn[uid] = np.array([float(x0) + float(x1), float(y0) + float(y1)]) / 2
    offsets_px = []
    for item in scene.tracks:
        if item.track_id in drawn and np.linalg.norm(drawn[item.track_id] - [714, 707]) < 0.35 * 610:
            assert item.size_lwh_m is not None and item.yaw_rad is not None
            corners = box_corners(item.xyz_m[0], item.size_lwh_m[0], item.yaw_rad[0])
            box = project_boxes(scene.camera, transform(inverse_se3(scene.world_SE3_camera[0]), corners))
            offsets_px.append((box[:2] + box[2:]) / 2 - drawn[item.track_id])
    assert len(offsets_px) >= 5
    assert np.linalg.norm(np.median(offsets_px, axis=0)) < 20
