"""Networks in the shape of YuNet and SFace, written as ONNX by hand: a face is what is white, a person is a hue."""

import struct
from collections.abc import Sequence
from pathlib import Path

from services.faces.engines.yunet import DETECTOR, EMBEDDING

FLOAT, INT = 1, 7
MARKS = ((-0.3, -0.2), (0.3, -0.2), (0.0, 0.0), (-0.25, 0.3), (0.25, 0.3))
"""Eyes, nose and corners of the mouth from the middle of a cell, in cells."""
Attribute = int | Sequence[int]


def write(folder: Path) -> None:
    """Put both models where the engine looks for them."""
    (folder / DETECTOR).write_bytes(detector())
    (folder / EMBEDDING).write_bytes(embedding())


def detector() -> bytes:
    """Finds white cells of 32 pixels, each with a box of 64 around it; its finer grids see nothing."""
    nodes, weights = b"", b""
    names = list[str]()
    for stride in (8, 16, 32):
        nodes += node("AveragePool", ["input"], f"cells{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2)
        seen = 0.05 if stride == 32 else 0.0
        heads = {
            "cls": ([[seen] * 3], [-240 * 3 * seen if seen else -50.0]),
            "obj": ([[seen] * 3], [-240 * 3 * seen if seen else -50.0]),
            "bbox": ([[0.0] * 3] * 4, [0.5, 0.5, 0.6931, 0.6931]),
            "kps": ([[0.0] * 3] * 10, [0.5 + each for mark in MARKS for each in mark]),
        }
        for head, (matrix, bias) in heads.items():
            name, size = f"{head}_{stride}", len(bias)
            weights += tensor(f"{name}_w", [size, 3, 1, 1], [value for row in matrix for value in row])
            weights += tensor(f"{name}_b", [size], bias) + tensor(f"{name}_s", [3], [1, -1, size], INT)
            nodes += node("Conv", [f"cells{stride}", f"{name}_w", f"{name}_b"], f"{name}_c", kernel_shape=[1, 1])
            nodes += node("Transpose", [f"{name}_c"], f"{name}_t", perm=[0, 2, 3, 1])
            flat = f"{name}_f" if head in ("cls", "obj") else name
            nodes += node("Reshape", [f"{name}_t", f"{name}_s"], flat)
            if flat != name:
                nodes += node("Sigmoid", [flat], name)
    names = [f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    shapes = {name: [1, (640 // int(name.split("_")[1])) ** 2, widths[name.split("_")[0]]] for name in names}
    return model(nodes, weights, {"input": [1, 3, 640, 640]}, shapes)


def embedding() -> bytes:
    """The mean colours of 8 x 8 patches of an aligned face."""
    nodes = node("AveragePool", ["data"], "patches", kernel_shape=[14, 14], strides=[14, 14])
    nodes += node("Reshape", ["patches", "shape"], "fc1")
    return model(nodes, tensor("shape", [2], [1, 192], INT), {"data": [1, 3, 112, 112]}, {"fc1": [1, 192]})


def model(nodes: bytes, weights: bytes, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> bytes:
    """A ModelProto (onnx.proto3), opset 13."""
    graph = nodes + field(2, "tiny") + weights
    graph += b"".join(field(11, value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(field(12, value(name, shape)) for name, shape in outputs.items())
    return field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> bytes:
    body = b"".join(field(1, name) for name in inputs) + field(2, output) + field(3, output) + field(4, kind)
    for name, values in attributes.items():
        many = [values] if isinstance(values, int) else values
        body += field(5, field(1, name) + b"".join(field(8, each) for each in many) + field(20, 7))
    return field(1, body)


def tensor(name: str, shape: Sequence[int], values: Sequence[float], kind: int = FLOAT) -> bytes:
    raw = struct.pack(f"<{len(values)}{'f' if kind == FLOAT else 'q'}", *values)
    return field(5, b"".join(field(1, each) for each in shape) + field(2, kind) + field(8, name) + field(9, raw))


def value(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(field(1, field(1, each)) for each in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, sides)))


def field(number: int, content: int | str | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content & (1 << 64) - 1)
    body = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(number: int) -> bytes:
    parts = b""
    while number > 127:
        parts, number = parts + bytes([number & 127 | 128]), number >> 7
    return parts + bytes([number])
