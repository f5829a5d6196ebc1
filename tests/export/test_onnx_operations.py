"""Operations that the converter to ONNX lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stgraph.export.onnx_operations import additional


class LargestSoFar(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cummax(dim=1).values


@pytest.mark.filterwarnings("ignore")  # of the converter
@pytest.mark.parametrize("count", [1, 4])
def test_the_largest_value_so_far(count):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    x = torch.tensor([[[3], [1], [4], [2]], [[0], [5], [5], [6]]])[:, :count]
    made = torch.onnx.export(
        LargestSoFar(),
        (x,),
        dynamo=True,
        verbose=False,
        custom_translation_table=additional(),
    )
    session = runtime.InferenceSession(made.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert np.array_equal(found, x.cummax(dim=1).values.numpy())
