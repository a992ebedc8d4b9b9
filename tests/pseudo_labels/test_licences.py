"""What the licences of the tools say, and that every tool that is read has one."""

import pytest

from stvlm.pseudo_labels.artefacts import Provenance
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.licences import joined, may_be_sold, provenance_of, tool_licences
from stvlm.records import DataError


def test_every_reader_has_a_licence_and_a_default_model() -> None:
    tools = [*READERS, "grounding_dino", "sam2", "edgetam", "sam3"]
    assert set(tools) <= set(tool_licences())
    for tool in tools:
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
        ("sam2", None, True),
        ("sam3", None, True),
    ],
)
def test_code_and_weights_both_have_to_allow_it(tool: str, model: str | None, sold: bool) -> None:
    assert may_be_sold(provenance_of(tool, model)) is sold


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(DataError, match="tool 'monster': its licence is not known; did you mean 'monst3r'"):
        provenance_of("monster")
    with pytest.raises(DataError, match="vipe: the licence of model 'dav4' is not known; did you mean 'dav3'"):
        may_be_sold(Provenance("vipe", "dav4"))


def test_what_two_tools_make_stands_under_the_terms_of_both() -> None:
    both = joined(provenance_of("grounding_dino"), provenance_of("sam2"))
    models = "IDEA-Research/grounding-dino-base + facebook/sam2.1-hiera-large"
    assert both == Provenance("grounding_dino + sam2", models, "", "Apache-2.0") and may_be_sold(both)
    mixed = joined(provenance_of("grounding_dino"), provenance_of("monst3r"))
    assert mixed.licence == "Apache-2.0; CC BY-NC-SA 4.0" and not may_be_sold(mixed)
    own = joined(Provenance("grounding_dino", "mine", "4f2a"), provenance_of("sam2"))
    assert (own.revision, own.licence) == ("4f2a + ", "mine: not known; Apache-2.0")
    with pytest.raises(DataError, match="grounding_dino: the licence of model 'mine' is not known"):
        may_be_sold(own)
