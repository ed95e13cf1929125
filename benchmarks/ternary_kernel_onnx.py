"""The peer of ``ternary_kernel.py``: ONNX Runtime, in a Python of its own that has onnx and onnxruntime.

    python benchmarks/ternary_kernel_onnx.py NETWORK.npz

NETWORK.npz is what ``ternary_kernel.py`` writes: the steps of a residual network.  Builds the model in float and, by
ONNX Runtime's own static quantisation (QDQ, unsigned activations, a scale for each filter), in int8; one thread.  Then
for every line ``NAME COUNT`` on standard input it answers with the milliseconds of COUNT single runs, as JSON.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

CALIBRATED = 16


def model(steps: list[dict], arrays: dict[str, np.ndarray], shape: list[int]) -> onnx.ModelProto:
    nodes, constants, names = [], [], ["v0"]

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], name: str, **settings: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], **settings))
        return name

    for number, step in enumerate(steps, 1):
        name, given = f"v{number}", [names[operand] for operand in step["operands"]]
        bare = f"{name}_bare" if step["curve"] == "relu" else name
        if step["kind"] == "conv":
            weight, offset = (constant(f"{name}_{part}", arrays[f"{number}_{part}"]) for part in ("weight", "offset"))
            top, bottom, left, right = step["padding"]
            node("Conv", [*given, weight, offset], bare, strides=step["stride"], pads=[top, left, bottom, right])
        elif step["kind"] == "add":
            node("Add", given, bare)
        elif step["kind"] == "mean":
            node("GlobalAveragePool", given, bare)
        else:  # every stride-th pixel, and channels of zeros
            stride, before, after = step["subsample"]
            far = np.iinfo(np.int64).max
            values = {"from": [0, 0], "to": [far, far], "axes": [2, 3], "by": [stride, stride]}
            cut = [constant(f"{name}_{key}", np.array(value, np.int64)) for key, value in values.items()]
            kept = node("Slice", [*given, *cut], f"{name}_kept")
            node("Pad", [kept, constant(f"{name}_pads", np.array([0, before, 0, 0, 0, after, 0, 0], np.int64))], bare)
        if bare != name:
            node("Relu", [bare], name)
        names.append(name)
    value = helper.make_tensor_value_info
    ends = [value("v0", TensorProto.FLOAT, [1, *shape])], [value(names[-1], TensorProto.FLOAT, [1, None, None, None])]
    graph = helper.make_graph(nodes, "network", *ends, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made


class Noise(CalibrationDataReader):
    def __init__(self, shape: list[int]) -> None:
        rng = np.random.default_rng(0)
        self.left = [rng.standard_normal((1, *shape)).astype(np.float32) for _ in range(CALIBRATED)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return {"v0": self.left.pop()} if self.left else None


def main() -> None:
    content = dict(np.load(sys.argv[1]))
    described = json.loads(str(content.pop("steps")))
    shape, settings = described["shape"], onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = (str(Path(folder, name)) for name in ("float.onnx", "int8.onnx"))
        onnx.save(model(described["steps"], content, shape), float_file)
        quantize_static(
            float_file,
            int8_file,
            Noise(shape),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        files = {"float": float_file, "int8": int8_file}
        sessions = {
            name: onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
            for name, file in files.items()
        }
    image = np.random.default_rng(1).standard_normal((1, *shape)).astype(np.float32)
    print(json.dumps({"onnxruntime": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        taken = []
        for _ in range(int(count)):
            began = time.perf_counter()
            sessions[name].run(None, {"v0": image})
            taken.append(1e3 * (time.perf_counter() - began))
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
