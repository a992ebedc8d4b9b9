"""A tiny model of each family, and samples of every medium to train it on."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests.evaluation.tiny_models import write_model
from transformers import AutoModelForImageTextToText, AutoProcessor

from stvlm.dataset.video import VideoSettings, write_video
from stvlm.training.families import family_of
from stvlm.training.samples import Asked, Sample

TRAINING = Path(__file__).parents[2] / "training"
TALK = [Asked("How far does it go?", "It goes 3.00 meters."), Asked("And how fast?", "At 5.00 km/h.")]
UPRIGHT, HELD_SIDEWAYS = 1, 6
"""How a camera was held, in Exif."""


def load(model_type, folder):
    """A random model and its processor, with the chat template that its family is trained with."""
    write_model(folder, model_type)
    processor = AutoProcessor.from_pretrained(folder)
    processor.chat_template = (TRAINING / family_of(model_type).CHAT_TEMPLATE).read_text()
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval(), processor


def make_samples(folder):
    """Videos of 5, 5 and 6 frames, images upright and broad, texts; dialogues of one and of two turns."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for i, count in enumerate((5, 5, 6)):
        images = rng.integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)
        write_video(folder / f"v{i}.mp4", iter(images), VideoSettings())
        times_s = [k / 2 for k in range(count)]
        samples.append(Sample(f"v{i}", "own", "video", str(folder / f"v{i}.mp4"), times_s, (), [TALK[: 1 + i % 2]]))
    for i, size in enumerate([(48, 64), (120, 33)]):
        image = Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8))
        image.getexif()[0x0112] = HELD_SIDEWAYS if i else UPRIGHT
        image.save(folder / f"i{i}.png", exif=image.getexif())
        samples.append(Sample(f"i{i}", "own", "image", str(folder / f"i{i}.png"), (), (), [TALK[i:]]))
    samples.append(Sample("t0", "own", "", "", (), (), [TALK]))
    samples.append(Sample("t1", "own", "", "", (), (), [TALK[1:]]))
    return samples


def loss_and_gradients(model, batch):
    """Sum of the answers' negative log-likelihoods, and its gradient."""
    model.zero_grad()
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
    )
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
