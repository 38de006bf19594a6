"""PyTorch: tensors in memory, batches by index, the fused Adam; no DataLoader, which is slower."""

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.fashion_mnist import Images
from benchmarks.workers.fashion import BATCH, CLASSES, EPOCHS, HIDDEN, run, scaled


def train(data: Images) -> Callable[[], np.ndarray]:
    images, labels, test, _ = data
    torch.manual_seed(0)
    x, y = torch.from_numpy(scaled(images)), torch.from_numpy(labels.astype(np.int64))
    model = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    adam = torch.optim.Adam(model.parameters(), fused=True)
    criterion = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            adam.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            adam.step()
    with torch.no_grad():
        return lambda: model(torch.from_numpy(scaled(test))).argmax(dim=1).numpy()


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run(train)
