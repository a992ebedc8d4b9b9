"""Muon for the matrices inside a model, AdamW for the rest, as one optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class MuonAndAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon (`torch.optim.Muon`) for hidden matrices, patch embedding included, AdamW for all other parameters.

    A matrix's update has the size that AdamW's would have, so both take one learning rate.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float) -> None:
        matrices, others = split_parameters(model)
        self._views = [(p, nn.Parameter(p.data.flatten(1))) for p in matrices]
        views = [view for _, view in self._views]
        self._muon = torch.optim.Muon(views, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._adamw = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay)
        super().__init__(self._muon.param_groups + self._adamw.param_groups, {})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """One step on the parameters' gradients."""
        for parameter, view in self._views:
            # Sharing storage, an update of the view is one of the parameter; a model that moves to a GPU gets another.
            view.data = parameter.data.flatten(1)
            view.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        self._muon.step()
        self._adamw.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        self._adamw.zero_grad(set_to_none)
        for parameter, view in self._views:
            parameter.grad = view.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Both optimizers' states."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Both optimizers' states, as `state_dict` gives them."""
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])
        self.param_groups = self._muon.param_groups + self._adamw.param_groups


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices that map hidden states (a convolution's kernel is one), and everything else.

    Embeddings and the language model's head are tables with a row a token, not such matrices.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    tables |= {id(head.weight)} if head is not None else set()
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (matrices if parameter.ndim > 1 and id(parameter) not in tables else others).append(parameter)
    return matrices, others
