"""Every reason that measuring and asking can end with has a sentence, and names only cures that the page has."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stvlm.demo.measuring import CLASSES
from stvlm.demo.reasons import REASONS, in_words, with_cure
from stvlm.demo.tabs.measure import BY
from stvlm.pseudo_labels.lifting import class_sizes

# All that stvlm.demo.measuring.measure and stvlm.demo.asking.ask_by_task run.
RUN = [
    "stvlm.demo.measuring",
    "stvlm.kinematics",
    "stvlm.pseudo_labels.filters",
    "stvlm.pseudo_labels.geometry.given",
    "stvlm.pseudo_labels.geometry.opencv_vo",
    "stvlm.pseudo_labels.gravity",
    "stvlm.pseudo_labels.lifting",
    "stvlm.pseudo_labels.objects.finishing",
    "stvlm.pseudo_labels.objects.following",
    "stvlm.pseudo_labels.scale",
    "stvlm.pseudo_labels.smoothing",
    "stvlm.pseudo_labels.standing",
    "stvlm.pseudo_labels.steps",
    "stvlm.pseudo_labels.views",
    "stvlm.questions.asking",
]
# What nobody meets who measures with boxes of their own, a field of view, and no network and no tool.
UNMET = {
    "no boxes; put a NAME.marks.txt, NAME.mot.txt or NAME.coco.json beside the video",
    "no boxes are marked",
    "no intrinsics; give hfov_deg of its collection in the recipe, or a NAME.camera.json beside the video",
    "the tool made no geometry of it",
    "no poses came with it",
    "the camera does not move",  # it stood still, then, and is measured so
    "boxes do not tell the ground",  # then the camera's height does, or nothing, which is said
    "no cue tells the scale",
    "the scale varies within the clip",
    "cues disagree about the scale",
    "nothing static is seen twice",
    "static things seem to move",
}


def reasons_in(module: str) -> Iterator[str]:
    """What its calls of Rejected say first, where that is not what another one said."""
    imported = importlib.import_module(module)
    assert imported.__file__ is not None
    tree = ast.parse(Path(imported.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected":
            said = node.args[0]
            for part in (said.body, said.orelse) if isinstance(said, ast.IfExp) else (said,):
                if isinstance(part, ast.Constant):
                    yield part.value
                elif not isinstance(part, ast.Attribute):
                    assert isinstance(part, ast.Name), f"{module}, line {node.lineno}: what does it say?"
                    yield getattr(imported, part.id)


@pytest.mark.parametrize("module", RUN)
def test_every_reason_has_a_sentence(module: str) -> None:
    for reason in reasons_in(module):
        assert (reason in REASONS) != (reason in UNMET), f"{module}: {reason}"


def test_no_sentence_is_left_over() -> None:
    assert {reason for module in RUN for reason in reasons_in(module)} == set(REASONS) | UNMET


@pytest.mark.parametrize("reason", REASONS)
def test_sentences_are_plain_and_short(reason: str) -> None:
    for told in (with_cure(reason, True), with_cure(reason, False)):
        assert told.startswith(in_words(reason)) and told[0].isupper() and told.endswith(".") and len(told) < 240
        assert not re.search(r"label noise|opencv|_|winner| hour\b", told)


def test_cures_are_on_the_page() -> None:
    labels = {label for label, _ in BY}
    for reason in REASONS:
        for is_example in (True, False):
            told = with_cure(reason, is_example)
            assert set(re.findall("“([^”]*)”", told)) <= labels
            assert not (is_example and re.search("camera's (true )?height|field of view", told)), (
                "nobody is asked there"
            )
    assert "“it stood still”" in with_cure("the road does not tell the scale", False)
    assert with_cure("too far away", True) == "It is more than 60 m away. Choose a nearer one."


def test_figures_are_those_of_the_library() -> None:
    assert "less than 3 seconds" in in_words("too short") and "more than 30 %" in in_words("too uncertain")
    assert in_words("moves into the hour for under 1 s") == "It moves that way for less than 1 second."
    assert in_words("stationary").startswith("It moves less than 1 m,")
    assert set(CLASSES) - set(class_sizes("america_asia")) == {"trailer", "animal"}, "of which no size is known"
