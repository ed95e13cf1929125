"""Records of published weight files that do not describe themselves, by SHA-256.

``source`` and ``licence`` are what the place of origin states ("none stated": nothing).  A
record says what the architecture and its shapes do not show: family, input, padding, epsilon.
"""

from typing import Any

_HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_TENSORFLOW = {"size": 224, **_HALF, "padding": "tf-same", "bn_eps": 1e-3}
_TINY = {"family": "mcunet", "size": 128, **_HALF, "licence": "MIT"}  # the spec is in the file
_TINY_SOURCE = "mit-han-lab/tiny-training algorithm/assets/mcu_models/"
_CIFAR = {"size": 32, **_IMAGENET, "licence": "BSD-2-Clause"}
_CIFAR_SOURCE = "akamaster/pytorch_resnet_cifar10 pretrained_models/"

RECORDS: dict[str, dict[str, Any]] = {
    "050838437c59c1cec76fadd7b6975fdd18de9170d2147e4525eb1ca4a6cbebfc": {
        "family": "mobilenet_v2",
        "width": 1.0,
        **_TENSORFLOW,
        "licence": "Apache-2.0",
        "source": "google-coral/test_data tf2_mobilenet_v2_1.0_224_ptq.tflite (int8, dequantised)",
    },
    "e9f50000246e0da116316251cd861bb362973ba951eee57de345898b99b310ec": {
        "family": "mobilenet_v2",
        "width": 0.35,
        **_TENSORFLOW,
        "licence": "none stated for the file; the ImageNet weights themselves Apache-2.0 (Google)",
        "source": "stm32ai-modelzoo food-101/mobilenet_v2_0.35_224.h5, the frozen Keras ImageNet backbone",
    },
    "0769bc4ebfca7aa014ab269ece01a019a1aba09aa23c7010bb9e6bbed31126de": {
        "family": "mobilenet_v1",
        "width": 0.25,
        **_TENSORFLOW,
        "licence": "Apache-2.0",
        "source": "stm32ai-modelzoo mobilenetv1/Public_pretrainedmodel_public_dataset/ImageNet (Google)",
    },
    "1c72e85f2cd5d9b572c4bda9e3b8714845ee4dd2944c5930135574d96a89a915": {
        **_TINY,
        "source": f"{_TINY_SOURCE}mcunet-5fps.pkl (int8, dequantised)",
    },
    "43db8650f6fa2a15eacb5d5bcd892aae0c6f37e067d94ddfcdf570772bb0534c": {
        **_TINY,
        "source": f"{_TINY_SOURCE}mbv2-w0.35.pkl (int8, dequantised)",
    },
    "8ffb085d258eb5619e6c75a0a61a07e86e05d9e299d75ae201c7d228b6e4329f": {
        **_TINY,
        "source": f"{_TINY_SOURCE}proxyless-w0.3.pkl (int8, dequantised)",
    },
    "fe2248ca2d0255e48f00457727f7740b965b36c77168a33e5a38f52297f3c89b": {
        "family": "resnet20",
        **_CIFAR,
        "source": f"{_CIFAR_SOURCE}resnet20-12fca82f.th",
    },
    "2a67a967e2fb83d3c7c8b0f8d73ec984785decc8e35271b4f117c15cc8afb096": {
        "family": "resnet32",
        **_CIFAR,
        "source": f"{_CIFAR_SOURCE}resnet32-d509ac18.th",
    },
    "37a0301eb95b5c631fa2d2ba5f91f5b98385f6a3d12548af89dfb5eded561fa3": {
        "family": "resnet56",
        **_CIFAR,
        "source": f"{_CIFAR_SOURCE}resnet56-4bfd9763.th",
    },
}
