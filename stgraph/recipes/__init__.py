"""The papers' systems, as plain functions that compose the parts.

Each returns a model whose parts can be read off the function; to change one, copy the function, or
pass another part. Those of RSTG come in two spellings: as the paper prints them, and, with
``_official`` behind their names, as the authors ran them.
"""

from stgraph.recipes.dyreg import (
    dyreg_block,
    dyreg_multi_sync_mnist,
    dyreg_regions,
    dyreg_tsm_resnet18,
    dyreg_tsm_resnet50,
)
from stgraph.recipes.motion import (
    motion_classes,
    motion_small,
    motion_subsets,
    small_followers,
)
from stgraph.recipes.plain import (
    c2d,
    c2d_official,
    conv_lstm,
    i3d,
    i3d_official,
    i3d_sync_mnist,
    mean_lstm,
    non_local_i3d,
    non_local_official,
    non_local_sync_mnist,
    resnet18_multi_sync_mnist,
    tsm_resnet50,
)
from stgraph.recipes.rstg import rstg_block, rstg_sync_mnist, rstg_to_map, rstg_to_vec
from stgraph.recipes.rstg_official import (
    rstg_block_official,
    rstg_stage_official,
    rstg_sync_mnist_official,
    rstg_to_map_official,
    rstg_to_vec_official,
    rstg_to_vec_serial_official,
)
from stgraph.recipes.small import (
    dyreg_small,
    frames_small,
    residual_small,
    small_grid,
    small_regions,
)
from stgraph.recipes.videos import following_regions, small_video, still_regions

__all__ = [
    "c2d",
    "c2d_official",
    "conv_lstm",
    "dyreg_block",
    "dyreg_multi_sync_mnist",
    "dyreg_regions",
    "dyreg_small",
    "dyreg_tsm_resnet18",
    "dyreg_tsm_resnet50",
    "following_regions",
    "frames_small",
    "i3d",
    "i3d_official",
    "i3d_sync_mnist",
    "mean_lstm",
    "motion_classes",
    "motion_small",
    "motion_subsets",
    "non_local_i3d",
    "non_local_official",
    "non_local_sync_mnist",
    "residual_small",
    "resnet18_multi_sync_mnist",
    "rstg_block",
    "rstg_block_official",
    "rstg_stage_official",
    "rstg_sync_mnist",
    "rstg_sync_mnist_official",
    "rstg_to_map",
    "rstg_to_map_official",
    "rstg_to_vec",
    "rstg_to_vec_official",
    "rstg_to_vec_serial_official",
    "small_followers",
    "small_grid",
    "small_regions",
    "small_video",
    "still_regions",
    "tsm_resnet50",
]
