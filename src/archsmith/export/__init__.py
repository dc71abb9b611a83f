"""From a trained network to files that need only torch or only ONNX Runtime: ship, verify,
export_file, time_onnx."""

from archsmith.export.files import FORMATS, deployment_of, export_file, verify
from archsmith.export.package import read_architecture, ship
from archsmith.metrics.timing import time_onnx

__all__ = [
    "FORMATS",
    "deployment_of",
    "export_file",
    "read_architecture",
    "ship",
    "time_onnx",
    "verify",
]
