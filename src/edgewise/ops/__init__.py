"""Operations that keep little between forward and backward, and the programs made of them."""

from edgewise.ops.base import Op as Op
from edgewise.ops.base import Shape as Shape
from edgewise.ops.convolution import Conv as Conv
from edgewise.ops.convolution import FrozenConv as FrozenConv
from edgewise.ops.convolution import Linear as Linear
from edgewise.ops.elementwise import Add as Add
from edgewise.ops.elementwise import Affine as Affine
from edgewise.ops.elementwise import Clamp as Clamp
from edgewise.ops.elementwise import Multiply as Multiply
from edgewise.ops.elementwise import Shift as Shift
from edgewise.ops.elementwise import Signed as Signed
from edgewise.ops.execute import Plan as Plan
from edgewise.ops.execute import run as run
from edgewise.ops.geometry import Geometry as Geometry
from edgewise.ops.geometry import kernels_met as kernels_met
from edgewise.ops.mapped import Mapped as Mapped
from edgewise.ops.program import Analysis as Analysis
from edgewise.ops.program import Instruction as Instruction
from edgewise.ops.program import Program as Program
from edgewise.ops.resampling import AveragePool as AveragePool
from edgewise.ops.resampling import BilinearResize as BilinearResize
from edgewise.ops.resampling import GlobalPool as GlobalPool
from edgewise.ops.statistics import BatchStatistics as BatchStatistics
