"""What all tests share."""

from __future__ import annotations

import torch

torch.set_num_threads(1)  # nets of tests are small: threads would only wait for each other
