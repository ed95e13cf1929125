"""The user's photos: found, checked, cut into parts, decoded and made into batches.

``open_data`` and ``open_labelled`` need no torch; `edgewise.data.loader` and
`edgewise.data.transforms` do.
"""

from edgewise.data.sets import ImageSet as ImageSet
from edgewise.data.sets import Labelled as Labelled
from edgewise.data.sets import Sample as Sample
from edgewise.data.sets import open_data as open_data
from edgewise.data.sets import open_labelled as open_labelled
