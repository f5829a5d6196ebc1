"""Clips to train on: synthetic digits, made when they are asked for, and videos from files."""

from stgraph.datasets.clips import ClipBatch
from stgraph.datasets.detected import Detected
from stgraph.datasets.digits import (
    DigitClips,
    Digits,
    MultiSyncMNIST,
    OfficialSyncMNIST,
    Scenes,
    SyncMNIST,
    keep_contrast,
    label_chances,
    label_name,
    label_pair,
    mnist,
    none_label,
    oracle_accuracy,
    oracle_answers,
    pair_label,
    sklearn_digits,
    stretch_contrast,
)
from stgraph.datasets.items import ItemLoader, collate, to_device
from stgraph.datasets.loader import ClipLoader
from stgraph.datasets.videos import SomethingSomething, VideoFolder, VideoManifest

__all__ = [
    "ClipBatch",
    "ClipLoader",
    "Detected",
    "DigitClips",
    "Digits",
    "ItemLoader",
    "MultiSyncMNIST",
    "OfficialSyncMNIST",
    "Scenes",
    "SomethingSomething",
    "SyncMNIST",
    "VideoFolder",
    "VideoManifest",
    "collate",
    "keep_contrast",
    "label_chances",
    "label_name",
    "label_pair",
    "mnist",
    "none_label",
    "oracle_accuracy",
    "oracle_answers",
    "pair_label",
    "sklearn_digits",
    "stretch_contrast",
    "to_device",
]
