"""Has MapAnything tell the geometry of a video's frames. Runs in MapAnything's own environment, not in this package's.

python dataset_builder/run_mapanything.py FRAMES OUT
"""

import sys
from pathlib import Path

import numpy as np
import torch
from mapanything.models import MapAnything
from mapanything.utils.image import load_images

NAMES = ("depth_z", "camera_poses", "intrinsics", "conf", "mask")

frames, out = sys.argv[1:]
model = MapAnything.from_pretrained("facebook/map-anything-apache").to("cuda")
views = model.infer(load_images(frames), memory_efficient_inference=True)
arrays = {name: torch.cat([view[name] for view in views]).float().cpu().numpy() for name in NAMES}
np.savez(Path(out) / "predictions.npz", **arrays)
