"""Reprogramming: a frozen model serves another task by what goes in and how its answers are read.

>>> source = of_backbone(backbone)
>>> model = Reprogrammed(source, Pad(size=160), FrequencyMap(labels=5)).fit(images, labels)
>>> model.predict(others)
"""

from edgewise.reprogram.automaton import Automaton as Automaton
from edgewise.reprogram.base import InputTransform as InputTransform
from edgewise.reprogram.base import Mapping as Mapping
from edgewise.reprogram.base import Source as Source
from edgewise.reprogram.conditioned import Conditioned as Conditioned
from edgewise.reprogram.mappings import MAPPINGS as MAPPINGS
from edgewise.reprogram.mappings import mapping_class as mapping_class
from edgewise.reprogram.mappings.fixed import FirstLabels as FirstLabels
from edgewise.reprogram.mappings.fixed import RandomLabels as RandomLabels
from edgewise.reprogram.mappings.frequency import BayesianMap as BayesianMap
from edgewise.reprogram.mappings.frequency import FrequencyMap as FrequencyMap
from edgewise.reprogram.mappings.frequency import IterativeMap as IterativeMap
from edgewise.reprogram.mappings.frequency import OptimalMap as OptimalMap
from edgewise.reprogram.mappings.linear import LinearMap as LinearMap
from edgewise.reprogram.mappings.read_as import read_as as read_as
from edgewise.reprogram.mappings.similarity import SimilarityMap as SimilarityMap
from edgewise.reprogram.mappings.verbaliser import Verbaliser as Verbaliser
from edgewise.reprogram.pipeline import Pipeline as Pipeline
from edgewise.reprogram.reprogrammed import Reprogrammed as Reprogrammed
from edgewise.reprogram.reprogrammed import first_program as first_program
from edgewise.reprogram.sources import BlackBox as BlackBox
from edgewise.reprogram.sources import BudgetExceededError as BudgetExceededError
from edgewise.reprogram.sources import Endpoint as Endpoint
from edgewise.reprogram.sources import Generator as Generator
from edgewise.reprogram.sources import Ledger as Ledger
from edgewise.reprogram.sources import UnreachableError as UnreachableError
from edgewise.reprogram.sources import WhiteBox as WhiteBox
from edgewise.reprogram.sources import answers_of as answers_of
from edgewise.reprogram.sources import load_encoder as load_encoder
from edgewise.reprogram.sources import of_backbone as of_backbone
from edgewise.reprogram.sources import of_encoder as of_encoder
from edgewise.reprogram.sources import of_endpoint as of_endpoint
from edgewise.reprogram.sources import of_estimator as of_estimator
from edgewise.reprogram.sources import of_network as of_network
from edgewise.reprogram.sources import of_white_box as of_white_box
from edgewise.reprogram.sources import samples_of as samples_of
from edgewise.reprogram.sources import symbols_of as symbols_of
from edgewise.reprogram.sources import wire_type as wire_type
from edgewise.reprogram.space import Space as Space
from edgewise.reprogram.space import numbers as numbers
from edgewise.reprogram.steered import STEERINGS as STEERINGS
from edgewise.reprogram.steered import Steered as Steered
from edgewise.reprogram.trainers import TRAINERS as TRAINERS
from edgewise.reprogram.trainers import trainer_class as trainer_class
from edgewise.reprogram.trainers.adversarial import Adversarial as Adversarial
from edgewise.reprogram.trainers.base import Trainer as Trainer
from edgewise.reprogram.trainers.gradient import Gradient as Gradient
from edgewise.reprogram.trainers.policy import PolicyGradient as PolicyGradient
from edgewise.reprogram.trainers.zeroth_order import SphereSearch as SphereSearch
from edgewise.reprogram.trainers.zeroth_order import Spsa as Spsa
from edgewise.reprogram.transforms import TRANSFORMS as TRANSFORMS
from edgewise.reprogram.transforms import transform_class as transform_class
from edgewise.reprogram.transforms.cell_injection import CellInjection as CellInjection
from edgewise.reprogram.transforms.context_remap import ContextRemap as ContextRemap
from edgewise.reprogram.transforms.latent import LatentMap as LatentMap
from edgewise.reprogram.transforms.overlay import Overlay as Overlay
from edgewise.reprogram.transforms.pad import Pad as Pad
from edgewise.reprogram.transforms.prompt import Prompt as Prompt
from edgewise.reprogram.transforms.prompt_tokens import PromptTokens as PromptTokens
from edgewise.reprogram.transforms.replicate import Replicate as Replicate
from edgewise.reprogram.transforms.resize import Resize as Resize
from edgewise.reprogram.transforms.state_map import StateMap as StateMap
from edgewise.reprogram.transforms.state_map import composed as composed
from edgewise.reprogram.transforms.token_patch import TokenPatch as TokenPatch
from edgewise.reprogram.transforms.vocabulary import VocabularyMap as VocabularyMap
