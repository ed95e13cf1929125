"""What one training step takes: counted, measured, and side by side."""

from edgewise.cost.measure import Cost as Cost
from edgewise.cost.measure import cost as cost
