"""How video is pseudo-labelled: the recipe files of dataset_builder/recipes whose names begin with pseudo_."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from stvlm.pseudo_labels.artefacts import Provenance
from stvlm.pseudo_labels.filters import Limits
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.geometry.command import words_of
from stvlm.pseudo_labels.ground import GroundFit
from stvlm.pseudo_labels.licences import made_by, may_be_sold, provenance_of, tool_of
from stvlm.pseudo_labels.lifting import Lifting
from stvlm.pseudo_labels.metric_depth import metric3d_onnx, transformers_depth
from stvlm.pseudo_labels.objects import grounding_dino_sam2, sam3
from stvlm.pseudo_labels.objects.following import Following
from stvlm.pseudo_labels.scale import Scaling
from stvlm.pseudo_labels.smoothing import Smoothing
from stvlm.pseudo_labels.videos.excerpts import Cutting
from stvlm.recipes import nearest
from stvlm.records import DataError

IN_PROCESS = ("opencv_vo", "colmap", "static_camera", "known_poses")
"""Geometries that are made here; the others are made by tools, in environments of their own."""
ObjectsBy = Literal["annotations", "grounding_dino_sam2", "sam3"]
DepthBy = Literal["none", "transformers", "metric3d_onnx"]


@dataclass(frozen=True)
class Objects:
    """Who finds the objects."""

    by: ObjectsBy = "annotations"
    """`annotations`: the boxes that come with a video, those of a few frames followed through the others."""
    following: Following = field(default_factory=Following)
    grounding_dino_sam2: grounding_dino_sam2.Options = field(default_factory=grounding_dino_sam2.Options)
    sam3: sam3.Options = field(default_factory=sam3.Options)

    def __post_init__(self) -> None:
        _check("by", self.by, get_args(ObjectsBy))


@dataclass(frozen=True)
class CameraMotion:
    """Who tells how the camera moved, and how far things are from it."""

    by: str = "opencv_vo"
    model: str | None = None
    """What a tool ran with, where that is not its default."""
    command: str | None = None
    """How a tool is run here, with {frames} and {out}; see `geometry.command`."""
    artefacts: str | None = None
    """Or where it wrote what it made of each excerpt: a path with {excerpt}."""
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _check("by", self.by, (*IN_PROCESS, *READERS))
        given = [name for name in ("command", "artefacts") if getattr(self, name) is not None]
        if self.by in IN_PROCESS and given:
            raise ValueError(f"{self.by} is made here, and takes no {given[0]}")
        if self.by in READERS and len(given) != 1:
            raise ValueError(f"{self.by} is a tool: give the command that runs it, or the artefacts that it wrote")
        try:
            if self.by in READERS:
                provenance_of(self.by, self.model)
            if self.command is not None:
                words_of(self.command)
        except DataError as error:
            raise ValueError(str(error)) from error
        if self.artefacts is not None and "{excerpt}" not in self.artefacts:
            raise ValueError("artefacts names a folder or file for each excerpt; write {excerpt} where its id stands")


@dataclass(frozen=True)
class Depth:
    """Who tells depth in metres."""

    by: DepthBy = "none"
    transformers: transformers_depth.TransformersDepth = field(default_factory=transformers_depth.TransformersDepth)
    metric3d_onnx: metric3d_onnx.Metric3D = field(default_factory=metric3d_onnx.Metric3D)

    def __post_init__(self) -> None:
        _check("by", self.by, get_args(DepthBy))


@dataclass(frozen=True)
class PseudoLabelling:
    """How video becomes recordings."""

    name: str
    sources: Mapping[str, Mapping[str, object]]
    """What is known of all videos of each collection that may be labelled; see `videos.files.About`."""
    commercial: bool = False
    """Whether only tools and models take part whose terms allow commercial use; videos have terms of their own."""
    most_side_px: int | None = 1280
    """Images are reduced to this before anybody looks at them."""
    cutting: Cutting = field(default_factory=Cutting)
    objects: Objects = field(default_factory=Objects)
    geometry: CameraMotion = field(default_factory=CameraMotion)
    depth: Depth = field(default_factory=Depth)
    scale: Scaling = field(default_factory=Scaling)
    ground: GroundFit = field(default_factory=GroundFit)
    lifting: Lifting = field(default_factory=Lifting)
    smoothing: Smoothing = field(default_factory=Smoothing)
    filters: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.most_side_px is not None and self.most_side_px < 64:
            raise ValueError(f"most_side_px is at least 64, or null; got {self.most_side_px}")
        every_s = 0.0 if self.depth.by == "none" else getattr(self.depth, self.depth.by).every_s
        if every_s and self.geometry.by in IN_PROCESS:
            raise ValueError(f"depth: every_s is 0 with {self.geometry.by}, which has no depth itself; got {every_s}")
        if self.commercial:
            for made in tools_of(self):
                if not made.licence or not may_be_sold(made):
                    terms = made.licence or "not known"
                    raise ValueError(f"commercial: {made.tool} {made.model} stands under terms that forbid it: {terms}")


def tools_of(recipe: PseudoLabelling) -> list[Provenance]:
    """The tools and models that take part, and under which terms."""
    tools = []
    if recipe.objects.by == "grounding_dino_sam2":
        options = recipe.objects.grounding_dino_sam2
        tools.append(made_by("grounding_dino", options.detector))
        tools.append(made_by(tool_of(options.tracker, ("sam2", "edgetam")), options.tracker))
    elif recipe.objects.by == "sam3":
        tools.append(made_by("sam3", recipe.objects.sam3.model))
    tools.append(made_by(recipe.geometry.by, recipe.geometry.model or ""))
    if recipe.depth.by == "transformers":
        tools.append(made_by("transformers_depth", recipe.depth.transformers.model))
    elif recipe.depth.by == "metric3d_onnx":
        tools.append(made_by("metric3d_onnx", recipe.depth.metric3d_onnx.model))
    return tools


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}: {value!r} is unknown{nearest(value, known)}")
