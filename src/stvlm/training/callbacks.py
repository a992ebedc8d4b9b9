"""What a run does between steps: shows its loss, stops cleanly when asked, and where its numbers are none."""

from __future__ import annotations

import math
import os
import signal
import sys
from typing import Any

import torch
from transformers import ProgressCallback, TrainerCallback

from stvlm.records import DataError


class LossBar(ProgressCallback):  # type: ignore[misc]
    """A progress bar with the loss in it, in place of a line a log."""

    @classmethod
    def replace_progress(cls, trainer: Any) -> None:
        """Puts this bar in the place of the trainer's own."""
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(cls())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Shows the last loss."""
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix_str(f"loss {float(logs['loss']):.3f}")


class StopWhenAsked(TrainerCallback):  # type: ignore[misc]
    """On Ctrl-C or SIGTERM: finishes the step, writes a checkpoint and ends training, with `requested` set.

    Processes that load data are forked later and inherit the handler, so that they outlive a Ctrl-C until then.
    """

    requested = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the signals."""
        self._tells = os.getpid() if state.is_world_process_zero else None
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends training where asked to, of several processes where one of them was."""
        if args.world_size > 1:
            asked = torch.tensor(int(self.requested), device=args.device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.requested = bool(asked)
        if self.requested:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: Any) -> None:
        if self._tells == os.getpid() and not self.requested:  # of a large model, a step takes minutes
            print("\nstopping: this step is finished and a checkpoint written first", file=sys.stderr, flush=True)
        self.requested = True


class StopAtNonsense(TrainerCallback):  # type: ignore[misc]
    """Ends a run whose loss or gradient is no number, before a checkpoint takes the place of a sound one."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Raises DataError; what is logged is the same in all processes."""
        for name in ("loss", "grad_norm"):
            if not math.isfinite(float((logs or {}).get(name, 0.0))):
                raise DataError(
                    f"the {name.replace('_', ' ')} of step {state.global_step} is {logs[name]}: training has gone "
                    "astray; lower learning_rate or raise warmup_steps, under another --output_dir"
                )
