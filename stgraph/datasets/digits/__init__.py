"""Synthetic videos of handwritten digits, made when they are asked for."""

from stgraph.datasets.digits.clips import DigitClips, Scenes
from stgraph.datasets.digits.images import Digits, mnist, sklearn_digits
from stgraph.datasets.digits.labels import label_name, label_pair, none_label, pair_label
from stgraph.datasets.digits.official import OfficialSyncMNIST
from stgraph.datasets.digits.oracle import label_chances, oracle_accuracy, oracle_answers
from stgraph.datasets.digits.rendering import keep_contrast, stretch_contrast
from stgraph.datasets.digits.synchrony import MultiSyncMNIST, SyncMNIST

__all__ = [
    "DigitClips",
    "Digits",
    "MultiSyncMNIST",
    "OfficialSyncMNIST",
    "Scenes",
    "SyncMNIST",
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
