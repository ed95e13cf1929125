"""The papers' own data sets, from their official archives as they unpack: one file a set.

DATA is ``NAME:FOLDER`` then, as in ``flowers102:~/data/flowers102``.
"""

from edgewise.data.official.base import OfficialSet as OfficialSet
from edgewise.data.official.registry import OFFICIAL as OFFICIAL
from edgewise.data.official.registry import meant as meant
from edgewise.data.official.registry import official as official
