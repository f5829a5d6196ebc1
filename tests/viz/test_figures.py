from __future__ import annotations

import numpy as np
import pytest
import torch

from stgraph.viz.figures import frame_axes, new_figure

pytest.importorskip("matplotlib")


def test_a_picture_stands_where_its_pixel_coordinates_say():
    picture = torch.randint(0, 256, (4, 8, 3), dtype=torch.uint8).numpy()
    figure, (axes,) = new_figure(2, 1)
    frame_axes(axes, picture)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3]  # rows count from the bottom
    centres = [(x + 0.5, y + 0.5) for y in range(4) for x in range(8)]
    columns, rows = axes.transData.transform(centres).astype(int).T
    assert np.array_equal(drawn[rows, columns].reshape(picture.shape), picture)
