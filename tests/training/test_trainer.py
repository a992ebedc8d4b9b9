"""What a step does to the weights follows from the answers' tokens alone, however they come in groups."""

import copy

import datasets
import pytest
import torch
from tests.training.media import load, loss_and_gradients, make_samples
from trl import SFTConfig

from stvlm.evaluation.frames import FrameReader
from stvlm.training.collator import Collator
from stvlm.training.families import FAMILIES, family_of
from stvlm.training.packing import IGNORED
from stvlm.training.plan import Group
from stvlm.training.samples import write_samples
from stvlm.training.trainer import VideoSFTTrainer

RATE = 0.01


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_step_follows_the_mean_over_all_tokens_of_its_groups(kind, tmp_path):
    """A video with one answer, a text with two and a group that does not count: three groups, accumulated."""
    model, processor = load(kind, tmp_path / "model")
    samples = write_samples(make_samples(tmp_path / "media"), tmp_path / "samples.arrow")
    reader = FrameReader(processor.video_processor, resize=family_of(kind).resized)
    collator = Collator(processor, kind, reader, samples)
    groups = [Group((0,), 0), Group((5,), 0), Group((6,), 0, counts=False)]
    batches = [collator([group._asdict()]) for group in groups]
    before = copy.deepcopy(model.state_dict())
    parts = [loss_and_gradients(model, batch) for batch in batches[:2]]
    count = sum(int((batch["labels"] != IGNORED).sum()) for batch in batches)
    model.zero_grad()
    trainer = VideoSFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path / "out"), num_train_epochs=1, per_device_train_batch_size=1,
            gradient_accumulation_steps=3, train_sampling_strategy="sequential", learning_rate=RATE, max_grad_norm=0,
            lr_scheduler_type="constant", bf16=False, gradient_checkpointing=None, activation_checkpointing=False,
            report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True, remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True}, max_length=None, dataloader_pin_memory=False, use_cpu=True,
        ),
        processing_class=processor,
        train_dataset=datasets.Dataset.from_list([group._asdict() for group in groups]),
        data_collator=collator,
        optimizers=(torch.optim.SGD(model.parameters(), lr=RATE), None),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 1
    assert trainer.state.log_history[0]["loss"] == pytest.approx(sum(loss for loss, _ in parts) / count, rel=1e-4)
    for name, parameter in model.named_parameters():
        gradient = sum(of_one.get(name, torch.zeros_like(parameter)) for _, of_one in parts) / count
        torch.testing.assert_close(parameter.detach(), before[name] - RATE * gradient, rtol=1e-5, atol=1e-6)
