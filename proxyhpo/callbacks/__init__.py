"""Callbacks watch a study: each is called with every new :class:`~proxyhpo.Record`.

Any function of a record will do, as ``ProxyHPO(..., callbacks=[print])``; here are those that come
with the package.
"""

from proxyhpo.callbacks._tensorboard import TensorBoardCallback

__all__ = ["TensorBoardCallback"]
