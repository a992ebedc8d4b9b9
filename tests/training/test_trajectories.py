"""What a new model is asked about frames: by hand, and read from where it says."""

import numpy as np
import pytest
import torch
from tests.training.test_run import SIZES, TEMPLATE
from tests.training.test_simulated_clips import POSE

from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.trajectories import UNKNOWN, Cut, Heads, features_of, mirrored, read, stacked, targets_of, turns

RIGHT_TURN = np.array([[10.0, 0, 0], [12, 0, 0], [14, 0, 0], [14, -2, 0], [14, -4, 0]])
BOX = np.array([[0.2, 0.4, 0.4, 0.8]] * 5)


def cut_of(*ways, unseen=None):
    boxes = np.stack([BOX] * len(ways))
    if unseen is not None:
        boxes[unseen] = np.nan
    frames = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)
    return Cut(frames, ("red", "blue", "green")[: len(ways)], boxes, np.stack(ways), np.tile(POSE, (5, 1, 1)))


def test_a_right_turn_seen_frame_by_frame():
    targets = targets_of(cut_of(RIGHT_TURN))
    red = targets.motion[0]
    assert red[4, :2].tolist() == pytest.approx([4 / 20, 14 / 20 - 1.5])  # 4 m to the right and 14 m ahead
    assert red[3, 2:4].tolist() == pytest.approx([2 / 3, 0.0])
    assert red[:, 4].tolist() == pytest.approx([np.log1p(m) - 2 for m in (0, 2, 4, 6, 8)])
    assert red[1:, 5].tolist() == pytest.approx([np.log1p(14.4) - 2.5] * 4)  # 2 m in half a second
    assert targets.hours[0].tolist() == [[UNKNOWN] * 2, [0, 0], [0, 0], [3, 3], [3, 3]]
    assert red[4, 6:8].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert targets.boxes[0, 0].tolist() == pytest.approx([-0.4, 0.2, 0.2 / 0.3 - 1, 0.4 / 0.3 - 1])
    assert torch.isnan(targets.motion[1:]).all()
    assert ((red[1:, 14] + 1) * 4).tolist() == pytest.approx([0, 0, 1, 1])  # seconds at which it took that course
    assert (targets.camera[:, :3] == 0).all()
    assert ((targets.camera[:, 3] + 1) * 4).tolist() == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_two_objects_are_compared_as_far_as_they_have_come():
    straight = RIGHT_TURN[0] + np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]])
    pairs = targets_of(cut_of(RIGHT_TURN, straight)).pairs
    assert torch.isnan(pairs[0, :2, 0]).all()  # the second has not come a metre yet, or just that far
    assert pairs[0, 2, 0].item() == pytest.approx(1)
    assert pairs[0, 4, 0].item() == pytest.approx(np.cos(np.pi / 4))
    assert pairs[0, 4, 1].item() == pytest.approx(np.log1p(8) - np.log1p(4))
    assert torch.isnan(pairs[1:]).all()


def test_a_turn_is_told_from_what_was_seen_until_then():
    whole, part = turns(RIGHT_TURN), turns(RIGHT_TURN[:3])
    for until_the_end, until_then in zip(whole, part, strict=True):
        np.testing.assert_array_equal(until_the_end[:3], until_then)


def test_a_box_that_is_not_seen_is_not_asked_about():
    targets = targets_of(cut_of(RIGHT_TURN, unseen=(0, 2)))
    assert torch.isnan(targets.boxes[0, 2]).all()
    assert not torch.isnan(targets.motion[0, 2, :12]).any()


def test_in_a_mirror_right_is_left():
    cut = cut_of(RIGHT_TURN)
    seen, mirrored_seen = targets_of(cut), targets_of(mirrored(cut))
    assert mirrored_seen.hours[0, 4].tolist() == [9, 9]
    assert mirrored_seen.boxes[0, 0].tolist() == pytest.approx([0.4, *seen.boxes[0, 0, 1:].tolist()])
    assert mirrored_seen.motion[0, 4, 0].item() == pytest.approx(-seen.motion[0, 4, 0].item())
    assert mirrored_seen.motion[0, :, 4].tolist() == seen.motion[0, :, 4].tolist()


def test_heads_read_each_frame_of_its_own_clip():
    torch.manual_seed(0)
    processor = make_processor(SIZES, train_tokenizer(["How far?"], 300), TEMPLATE)
    model = make_model(SIZES, processor).eval()
    pixels = torch.randn(2, 5, 3, 32, 32)
    ids = torch.tensor([[1, *[processor.video_token_id] * (5 * 4 + 1), 7, 8]] * 2)
    seen = read(model, 1, pixels, ids)
    torch.testing.assert_close(seen.features, features_of(model, pixels))
    states = model.model(input_ids=ids, pixel_values_videos=pixels, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(seen.seen[1, 2], states[1, 1 + 3 * 4 - 1])

    heads = Heads(SIZES.hidden_size, 4)
    targets = stacked([cut_of(RIGHT_TURN)] * 2)
    losses = heads.losses(seen.features, seen.seen, targets)
    sum(losses).backward()
    assert all(torch.isfinite(loss) for loss in losses)
    assert heads.boxes.weight.grad[4:].abs().sum() == 0  # no blue and no green object
    assert heads.boxes.weight.grad[:4].abs().sum() > 0


def test_words_are_held_to_the_last_frame_of_their_own_clip():
    torch.manual_seed(0)
    straight = RIGHT_TURN[0] + np.array([[k, 0, 0] for k in range(5)], dtype=float)
    targets = stacked([cut_of(RIGHT_TURN), cut_of(straight)])
    heads = Heads(8, 4)
    with torch.no_grad():  # say, whatever is asked: the last frame of the right turn
        for layer in (heads.motion, heads.hours, heads.pairs):
            layer.weight.zero_()
            layer.bias.zero_()
        heads.motion.bias[:15] = targets.motion[0, 0, -1]
        heads.hours.bias[[3, 12 + 3]] = 100.0
    right = heads.clip_losses(torch.randn(3, 8), torch.tensor([0, 0, 0]), targets)
    wrong = heads.clip_losses(torch.randn(3, 8), torch.tensor([0, 1, 0]), targets)
    assert [round(loss.item(), 6) for loss in right] == [0, 0]
    assert all(loss > 0.1 for loss in wrong)
