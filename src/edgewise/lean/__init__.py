"""The lean pass: a model that keeps only what its trainable parameters need."""

from edgewise.lean.apply import arrangement as arrangement
from edgewise.lean.apply import is_lean as is_lean
from edgewise.lean.apply import kept_bytes as kept_bytes
from edgewise.lean.apply import make_lean as make_lean
from edgewise.lean.apply import make_plain as make_plain
from edgewise.lean.settings import FAST as FAST
from edgewise.lean.settings import SMALL as SMALL
from edgewise.lean.settings import Lean as Lean
from edgewise.lean.settings import lean_named as lean_named
from edgewise.lean.work import Work as Work
from edgewise.lean.work import work_of as work_of
