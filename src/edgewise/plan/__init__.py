"""Plans: from a budget of memory to ranked choices of method and settings."""

from edgewise.plan.budget import BESIDES as BESIDES
from edgewise.plan.budget import RESIDENT_SLACK as RESIDENT_SLACK
from edgewise.plan.budget import parse_budget as parse_budget
from edgewise.plan.budget import rounded_up as rounded_up
from edgewise.plan.options import Option as Option
from edgewise.plan.options import needs_at_least as needs_at_least
from edgewise.plan.options import options as options
from edgewise.plan.ranking import Prediction as Prediction
from edgewise.plan.ranking import methods_by_grade as methods_by_grade
from edgewise.plan.ranking import ranked as ranked
from edgewise.plan.ranking import smallest as smallest
