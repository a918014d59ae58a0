"""Callbacks watch a study: its trainings as they start, report and end.

Any function of a record will do, as in ``ProxyHPO(..., callbacks=[print])``: it is called with
every new :class:`~proxyhpo.Record`. A :class:`Callback` also gets reports as they arrive; those
below show a study in a tracker.
"""

from proxyhpo.callbacks._interface import Callback, Training
from proxyhpo.callbacks._mlflow import MLflowCallback
from proxyhpo.callbacks._tensorboard import TensorBoardCallback
from proxyhpo.callbacks._wandb import WandbCallback

__all__ = ["Callback", "MLflowCallback", "TensorBoardCallback", "Training", "WandbCallback"]
