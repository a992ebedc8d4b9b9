"""What the licences of the tools say, and that every tool that is read has one."""

import pytest

from stvlm.pseudo_labels.artefacts import Provenance
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.licences import may_be_sold, provenance_of, tool_licences
from stvlm.records import DataError


def test_every_reader_has_a_licence_and_a_default_model() -> None:
    assert set(READERS) <= set(tool_licences())
    for tool in READERS:
        assert provenance_of(tool).licence and tool_licences()[tool].url.startswith("https://github.com/")


@pytest.mark.parametrize(
    ("tool", "model", "sold"),
    [
        ("mapanything", "facebook/map-anything-apache", True),
        ("mapanything", "facebook/map-anything", False),
        ("depth_anything3", "depth-anything/DA3-BASE", True),
        ("depth_anything3", None, False),
        ("monst3r", None, False),
        ("vipe", "dav3", False),
        ("vggt_omega", None, False),
        ("transformers_depth", None, False),
        ("transformers_depth", "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf", True),
        ("transformers_depth", "apple/DepthPro-hf", False),
        ("metric3d_onnx", None, True),
        ("colmap", None, True),
        ("known_poses", "kitti", True),
    ],
)
def test_code_and_weights_both_have_to_allow_it(tool: str, model: str | None, sold: bool) -> None:
    assert may_be_sold(provenance_of(tool, model)) is sold


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(DataError, match="tool 'monster': its licence is not known; did you mean 'monst3r'"):
        provenance_of("monster")
    with pytest.raises(DataError, match="vipe: the licence of model 'dav4' is not known; did you mean 'dav3'"):
        may_be_sold(Provenance("vipe", "dav4"))
