"""Trainers: along the gradient, or without one.  ``TRAINERS`` is the registry by name."""

from edgewise.reprogram.trainers.registry import TRAINERS as TRAINERS
from edgewise.reprogram.trainers.registry import trainer_class as trainer_class
