"""Writes the model files of format 1 that have to stay loadable: python tests/files/make_format1.py

They were written once. A new format gets files of its own beside them.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

import saved_models
from saved_models import X, Y

from fastnn import callbacks, optimizers

FOLDER = HERE / "format1"


def main() -> None:
    warnings.simplefilter("ignore")
    expected = {}
    for kind in ("chain", "nested", "own_class_inside", "eager"):
        model = saved_models.KINDS[kind]()
        model.compile(
            optimizers.AdamW(0.01, use_ema=True), saved_models.LOGITS, metrics=["accuracy"]
        )
        keep = callbacks.ModelCheckpoint(FOLDER / f"{kind}.safetensors", save_freq=5)
        model.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_split=0.2, callbacks=[keep])
        expected[kind] = {"iterations": 5}
    model, x, y = saved_models.several()
    model.fit(x, y, verbose=0)
    model.save(FOLDER / "several.safetensors")
    expected["several"] = {"iterations": 2}
    import fastnn

    for kind, told in expected.items():
        made = fastnn.load_model(FOLDER / f"{kind}.safetensors")
        outputs = made.predict(x if kind == "several" else X)
        if isinstance(outputs, dict):
            outputs = np.concatenate(list(outputs.values()), 1)
        told["outputs"] = np.asarray(outputs)[:5].tolist()
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
