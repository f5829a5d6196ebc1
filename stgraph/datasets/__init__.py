"""Clips to train on: synthetic videos of handwritten digits, made when they are asked for."""

from stgraph.datasets.clips import ClipBatch, DigitClips, Scenes
from stgraph.datasets.digits import Digits, mnist, sklearn_digits
from stgraph.datasets.items import ItemLoader, collate
from stgraph.datasets.labels import label_name, label_pair, none_label, pair_label
from stgraph.datasets.loader import ClipLoader
from stgraph.datasets.official import OfficialSyncMNIST
from stgraph.datasets.oracle import label_chances, oracle_accuracy, oracle_answers
from stgraph.datasets.rendering import keep_contrast, stretch_contrast
from stgraph.datasets.synchrony import MultiSyncMNIST, SyncMNIST

__all__ = [
    "ClipBatch",
    "ClipLoader",
    "DigitClips",
    "Digits",
    "ItemLoader",
    "MultiSyncMNIST",
    "OfficialSyncMNIST",
    "Scenes",
    "SyncMNIST",
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
]
