"""Operations that the converter to ONNX lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stgraph.export.onnx_operations import additional


class LargestSoFar(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.cummax(dim=self.dim).values


@pytest.mark.filterwarnings("ignore")  # of the converter
@pytest.mark.parametrize(
    ("count", "dim"),
    [(4, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 1), (4, 0), (3, 2)))],
)
def test_the_largest_value_so_far(count, dim):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    x = torch.tensor([[[3, 8], [1, 9], [4, 7], [2, 1]], [[0, 2], [5, 5], [5, 6], [6, 3]]])
    x = x[:, :count]
    made = torch.onnx.export(
        LargestSoFar(dim),
        (x,),
        dynamo=True,
        verbose=False,
        custom_translation_table=additional(),
    )
    session = runtime.InferenceSession(made.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert np.array_equal(found, x.cummax(dim=dim).values.numpy())
