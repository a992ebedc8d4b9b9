"""The optimizer of small models."""

import torch
from torch import nn

from stvlm.training.optimizer import MuonAndAdamW


def test_parameters_that_move_after_it_was_made_are_still_trained() -> None:
    """Trainers move a model to its device, which gives parameters other storage; a change of type does so as well."""
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(4, 2))
    optimizer = MuonAndAdamW(model, lr=0.1, weight_decay=0.0)
    model.to(torch.float64)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    model(torch.ones(1, 3, 2, 2, dtype=torch.float64)).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
