"""The registry of our own architectures, by name."""

from edgewise.backbones import (
    mcunet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    pocket,
    proxylessnas,
    resnet,
    resnet_cifar,
)
from edgewise.backbones.base import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        mobilenet_v2.FAMILY,
        mobilenet_v1.FAMILY,
        *mobilenet_v3.FAMILIES,
        proxylessnas.FAMILY,
        mcunet.FAMILY,
        pocket.FAMILY,
        *resnet.FAMILIES,
        *resnet_cifar.FAMILIES,
    )
}
