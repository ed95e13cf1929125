"""Source models: frozen, with weights (`WhiteBox`) or only answers (`BlackBox`, behind a `Ledger`)."""

from edgewise.reprogram.sources.black_box import BlackBox as BlackBox
from edgewise.reprogram.sources.black_box import of_estimator as of_estimator
from edgewise.reprogram.sources.black_box import samples_of as samples_of
from edgewise.reprogram.sources.black_box import wire_type as wire_type
from edgewise.reprogram.sources.http import Endpoint as Endpoint
from edgewise.reprogram.sources.http import of_endpoint as of_endpoint
from edgewise.reprogram.sources.ledger import BudgetExceededError as BudgetExceededError
from edgewise.reprogram.sources.ledger import Ledger as Ledger
from edgewise.reprogram.sources.white_box import WhiteBox as WhiteBox
from edgewise.reprogram.sources.white_box import of_backbone as of_backbone
from edgewise.reprogram.sources.white_box import of_network as of_network
