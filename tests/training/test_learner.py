"""What is learned from in each stage."""

import numpy as np
import pytest
import torch
from tests.training.test_run import SIZES, TEMPLATE
from tests.training.test_simulated_clips import LIMITS, TWO, recording, walker

from stvlm.questions.asking import QuestionGates
from stvlm.records import DataError
from stvlm.training import learner as learning
from stvlm.training import trajectories
from stvlm.training.learner import Learner, questions_of
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.recipe import Stage, Stages
from stvlm.training.simulated_clips import SimulatedClips

GATES = QuestionGates(parts=0)
STAGE = Stage("questions", 10, 2)


@pytest.fixture(scope="module")
def clips():
    return SimulatedClips([recording(walker(2), walker(4))], LIMITS, 0.0, TWO)


@pytest.fixture
def learner(clips):
    torch.manual_seed(0)
    cut = clips.draw(8, np.random.default_rng(0))
    texts = [text for pair in questions_of(cut, "a", GATES) for text in pair]
    processor = make_processor(SIZES, train_tokenizer(texts, 400), TEMPLATE)
    stages = Stages((Stage("motion", 10, 2, learning_rate=0.1, decay_share=0.5),), layer=1)
    return Learner(make_model(SIZES, processor), processor, stages, GATES, seed=0)


def test_questions_are_those_of_the_dataset_about_what_is_shown(clips):
    cut = clips.draw(8, np.random.default_rng(0))
    asked = questions_of(cut, "some clip", GATES)
    assert all(pair.prompt.startswith("The video lasts for 3.50 seconds, and 8 frames") for pair in asked)
    speeds = {pair.answer for pair in asked if "km/h" in pair.answer}
    assert speeds
    assert all("7.20" in answer or "14.40" in answer for answer in speeds)  # 2 and 4 m/s
    assert questions_of(cut, "some clip", GATES) == asked


def test_only_words_after_the_video_are_asked_what_it_showed(learner, clips, monkeypatch):
    found = {}

    def clip_losses(hidden, clip, targets):
        found["words"], found["clips"] = len(hidden), clip
        return torch.zeros(()), torch.zeros(())

    monkeypatch.setattr(learner._heads, "clip_losses", clip_losses)

    def read(model, layer, pixels, **batch):
        found.update(batch)
        return trajectories.read(model, layer, pixels, **batch)

    monkeypatch.setattr(learning, "read", read)
    learner._learn_questions(clips, STAGE, np.random.default_rng(0), "name")
    ids, video = found["input_ids"], learner._processor.video_token_id
    last = [int(torch.nonzero(row == video).max()) for row in ids]
    padding = learner._processor.tokenizer.pad_token_id
    expected = [int((row[at + 1 :] != padding).sum()) for row, at in zip(ids, last, strict=True)]
    assert found["words"] == sum(expected)
    assert torch.bincount(found["clips"]).tolist() == expected


def test_the_rate_warms_up_holds_and_falls(learner):
    stage = Stage("motion", 100, 2, learning_rate=1e-2, decay_share=0.5)
    rates = []
    for step in (0, 19, 50, 75, 99):
        learner._set_rate(stage, step)
        rates.append(learner._optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([5e-4, 1e-2, 1e-2, 5e-3, 2e-4])


def test_clips_that_nothing_can_be_asked_about_are_refused(learner, clips, monkeypatch):
    monkeypatch.setattr(learning, "questions_of", lambda *_: [])
    with pytest.raises(DataError, match="no question can be asked"):
        learner._learn_questions(clips, STAGE, np.random.default_rng(0), "name")
