"""The networks behind the papers' memory tables, where their code differs from our methods.

Only what decides memory is rebuilt: shapes, order of execution, what trains.
"""

from torch import Tensor, nn

from edgewise.adapt.base import Adapted
from edgewise.backbones import load
from edgewise.backbones.blocks import make_divisible
from edgewise.core.surgery import train_only
from edgewise.layers.side_module import SideModule, norm_layer


class InputFirst(nn.Module):
    """Rep-Net's input module as its authors run it: before the stem, its feature ``early`` waits for the connector.

    Ours runs when the connector asks for it, after the widest layers.
    """

    def __init__(self, module: SideModule) -> None:
        super().__init__()
        self.module = module
        self.early: list[Tensor] = []

    def begin(self, network: nn.Module, args: tuple[Tensor]) -> None:
        height, width = args[0].shape[-2:]
        self.early.append(self.module(args[0], (height // 4, width // 4)))

    def forward(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return self.early.pop()


def as_released(model: Adapted) -> Adapted:
    """``model`` (Rep-Net) with its input module run first of all, and every linear trained."""
    first = InputFirst(model.side.rungs[0])
    model.side.rungs[0] = first
    model.network.register_forward_pre_hook(first.begin)
    return every_linear_trains(model)


def every_linear_trains(model: Adapted) -> Adapted:
    """``model`` with MobileNetV3's hidden layer before the head trained too, as the released code does."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.requires_grad_(True)
    return model


class LiteResidual(nn.Module):
    """A block's main branch, and TinyTL's lite residual beside it (Cai et al., 2020, Section 3.3)."""

    def __init__(self, main: nn.Module, kernel: int) -> None:
        super().__init__()
        convolutions = [layer for layer in main.modules() if isinstance(layer, nn.Conv2d)]
        inputs, outputs = convolutions[0].in_channels, convolutions[-1].out_channels
        self.main = main
        self.lite = SideModule(inputs, make_divisible(inputs), outputs, kernel, pool=2, groups=2, norm="group")
        self.lite.conv1.stride = max(layer.stride for layer in convolutions)

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)
        return y + self.lite(x, y.shape[-2:])


def tinytl(classes: int, train_bias: bool = True) -> nn.Module:
    """TinyTL-L (+B) on ProxylessNAS-Mobile: 19 lite residuals, group norm throughout.

    With ``train_bias`` the last shift of a lite residual stays frozen: the main branch has one.
    """
    network = load("proxylessnas_mobile", weights="none").module
    network.classifier.linear = nn.Linear(network.classifier.linear.in_features, classes)
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, nn.BatchNorm2d):
                setattr(parent, name, norm_layer(part.num_features, "group"))
    for index, block in enumerate(network.blocks):
        if index > 0 and not isinstance(block, nn.Identity):
            block.mobile_inverted_conv = LiteResidual(block.mobile_inverted_conv, 3 if index >= 18 else 5)
    names = [name for name, _ in network.named_parameters()]
    trained = {name for name in names if ".lite." in name or name.startswith("classifier.")}
    if train_bias:
        trained |= {name for name in names if name.endswith(".bias")}
        trained -= {name for name in names if name.endswith(".lite.norm2.bias")}
    train_only(network, trained)
    return network
