"""Image files as the frames of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from stvlm.records import Array, ImageError

DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """One image file a frame; satisfies ``records.Frames``."""

    paths: tuple[Path, ...]
    width_px: int
    height_px: int

    def available(self) -> Array:
        """Whether each file exists and is not empty, (F,) bool."""
        return np.array([path.is_file() and path.stat().st_size > 0 for path in self.paths], dtype=bool)

    def read(self, index: int) -> Array:
        """The image, (height_px, width_px, 3) uint8 RGB; raises ImageError."""
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except FileNotFoundError as error:
            raise ImageError(f"{path}: the image is missing") from error
        except DAMAGE as error:
            raise ImageError(f"{path}: the image does not decode ({' '.join(str(error).split())})") from error
        height_px, width_px = pixels.shape[:2]
        if (width_px, height_px) != (self.width_px, self.height_px):
            wanted = f"the calibration is for {self.width_px} x {self.height_px}"
            raise ImageError(f"{path}: the image has {width_px} x {height_px} pixels, {wanted}")
        return pixels
