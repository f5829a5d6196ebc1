"""Recipes that make no whole model."""

from __future__ import annotations

__all__ = ["PARTS_OF_MODELS"]

PARTS_OF_MODELS = {
    "dyreg_block",
    "dyreg_regions",
    "following_regions",
    "rstg_block",
    "rstg_block_official",
    "rstg_stage_official",
    "small_followers",
    "small_grid",
    "small_regions",
    "still_regions",
}
