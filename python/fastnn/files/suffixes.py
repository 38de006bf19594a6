"""Names of files that belong to other formats, and what writes these."""

from __future__ import annotations

import os
from collections.abc import Mapping

OF_MODELS: dict[str, str | None] = {
    ".keras": "fastnn.interop.save_keras(model, path)",
    ".weights.h5": "fastnn.interop.save_keras_weights(model, path)",
    ".h5": "fastnn.to_keras(model).save(path)",
    ".hdf5": "fastnn.to_keras(model).save(path)",
    ".onnx": "model.export_onnx(path)",
    ".pt": "fastnn.interop.save_state_dict(model, path)",
    ".pth": "fastnn.interop.save_state_dict(model, path)",
    ".pkl": "pickle",
    ".joblib": "joblib",
}
# An estimator of tables has no form in the formats of networks.
OF_TABLES: dict[str, str | None] = {
    **dict.fromkeys(OF_MODELS),
    ".onnx": "export_onnx(path) of the estimator",
    ".pkl": "pickle",
    ".joblib": "joblib",
}


def refuse_other_formats(
    doing: str, file: str, writers: Mapping[str, str | None] = OF_MODELS
) -> None:
    """ValueError where the suffix of a file is that of another format.

    `writers`: what writes each; None: nothing does of such an object.
    """
    name = os.path.basename(file).lower()  # noqa: PTH119 - pathlib takes long
    for suffix, writer in writers.items():
        if name.endswith(suffix):
            by = "" if writer is None else f", which {writer} writes"
            raise ValueError(
                f"{doing}: {suffix} is the suffix of another format{by}; end the name in "
                f".safetensors, got {file!r}"
            )
