"""The space of hyperparameters: definitions, conditions, sampling, the unit cube."""

from proxyhpo.space.choice import Choice
from proxyhpo.space.real import Float
from proxyhpo.space.space import Space
from proxyhpo.space.whole import Int

__all__ = ["Choice", "Float", "Int", "Space"]
