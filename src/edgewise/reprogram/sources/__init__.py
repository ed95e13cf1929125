"""Source models: frozen, with weights (`WhiteBox`) or only answers (`BlackBox`, behind a `Ledger`)."""

from edgewise.reprogram.sources.black_box import BlackBox as BlackBox
from edgewise.reprogram.sources.black_box import answers_of as answers_of
from edgewise.reprogram.sources.black_box import of_estimator as of_estimator
from edgewise.reprogram.sources.black_box import samples_of as samples_of
from edgewise.reprogram.sources.black_box import wire_type as wire_type
from edgewise.reprogram.sources.closed import of_white_box as of_white_box
from edgewise.reprogram.sources.generator import Generator as Generator
from edgewise.reprogram.sources.http import Endpoint as Endpoint
from edgewise.reprogram.sources.http import UnreachableError as UnreachableError
from edgewise.reprogram.sources.http import of_endpoint as of_endpoint
from edgewise.reprogram.sources.ledger import BudgetExceededError as BudgetExceededError
from edgewise.reprogram.sources.ledger import Ledger as Ledger
from edgewise.reprogram.sources.text import Encoder as Encoder
from edgewise.reprogram.sources.text import load_encoder as load_encoder
from edgewise.reprogram.sources.text import of_encoder as of_encoder
from edgewise.reprogram.sources.text import symbols_of as symbols_of
from edgewise.reprogram.sources.white_box import WhiteBox as WhiteBox
from edgewise.reprogram.sources.white_box import of_backbone as of_backbone
from edgewise.reprogram.sources.white_box import of_network as of_network
