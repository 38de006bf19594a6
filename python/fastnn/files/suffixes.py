"""Names of files that belong to other formats, and what writes these."""

from __future__ import annotations

import os

_OTHERS = {
    ".keras": "fastnn.interop.save_keras(model, path)",
    ".weights.h5": "fastnn.interop.save_keras_weights(model, path)",
    ".h5": "fastnn.to_keras(model).save(path)",
    ".hdf5": "fastnn.to_keras(model).save(path)",
    ".onnx": "model.export_onnx(path)",
    ".pt": "fastnn.interop.save_state_dict(model, path)",
    ".pth": "fastnn.interop.save_state_dict(model, path)",
}


def refuse_other_formats(doing: str, file: str) -> None:
    """ValueError where the suffix of a model's file is that of another format."""
    name = os.path.basename(file).lower()  # noqa: PTH119 - pathlib takes long
    for suffix, writer in _OTHERS.items():
        if name.endswith(suffix):
            raise ValueError(
                f"{doing}: {suffix} is the suffix of another format, which {writer} writes; "
                f"end the name in .safetensors, got {file!r}"
            )
