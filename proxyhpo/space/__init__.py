"""The space of hyperparameters: definitions, conditions, sampling, the unit cube."""

from proxyhpo.space._choice import Choice
from proxyhpo.space._real import Float
from proxyhpo.space._space import Space
from proxyhpo.space._unseen import Unseen
from proxyhpo.space._whole import Int

__all__ = ["Choice", "Float", "Int", "Space", "Unseen"]
