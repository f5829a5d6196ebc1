"""Recipes around whole CNNs for videos: their tests take a second each, so they are slow ones."""

from __future__ import annotations

__all__ = ["LARGE"]

LARGE = {
    "c2d",
    "c2d_official",
    "dyreg_tsm_resnet18",
    "dyreg_tsm_resnet50",
    "i3d",
    "i3d_official",
    "non_local_i3d",
    "non_local_official",
    "rstg_to_map",
    "rstg_to_map_official",
    "rstg_to_vec",
    "rstg_to_vec_official",
    "rstg_to_vec_serial_official",
}
