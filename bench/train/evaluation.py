"""Predictions of a model on a split."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.profiles import Profile
from bench.train.batches import sorted_batches
from bench.train.data import Encoded
from bench.train.tokens import TRUNCATED

if TYPE_CHECKING:
    from torch import Tensor, nn

NOT_A_NUMBER = -2  # in place of a class index where a logit is NaN


class PredictionError(Exception):
    """Predictions that are not numbers."""


def predict(model: nn.Module, data: Encoded, profile: Profile, as_probabilities: bool = False) -> list[Any]:
    """The model's predictions in the order of the data: a class index; a number; the indices of the labels of a
    probability above 0.5; or a list of one index a word.

    as_probabilities: instead of these that of label 1 where there are two classes, else one of each label, rounded to
    seven digits.

    Raises:
        PredictionError: if a prediction is not a number. NaN logits have a largest one like any others, so a model
            that the last step broke, or one that overflows, would get a score.
    """
    predictions: list[Any] = [None] * len(data)
    model.eval()
    with torch.inference_mode():
        for indices in sorted_batches(data.lengths, profile.eval_batch_size):
            logits = _logits(model, data, indices, profile)
            found = _probabilities(logits, data) if as_probabilities else _of_batch(logits, data, indices)
            for index, prediction in zip(indices, found, strict=True):
                predictions[index] = prediction
    broken = sum(not _is_number(prediction) for prediction in predictions)
    if broken:
        raise PredictionError(f"the trained model's predictions for {broken} of {len(data)} examples are not numbers")
    return predictions


def predict_largest_batch(model: nn.Module, data: Encoded, profile: Profile) -> None:
    """Compute the batch of `predict` that takes the most memory once more: its first has the longest examples."""
    model.eval()
    with torch.inference_mode():
        _logits(model, data, sorted_batches(data.lengths, profile.eval_batch_size)[0], profile)


def _logits(model: nn.Module, data: Encoded, indices: np.ndarray, profile: Profile) -> Tensor:
    batch = data.batch(indices).to(profile.device)
    with profile.precision():
        logits: Tensor = model(**batch.inputs).logits.float()
    return logits


def _of_batch(logits: Tensor, data: Encoded, indices: np.ndarray) -> list[Any]:
    if data.kind == "regression":
        return (logits.squeeze(-1).cpu().double() * data.scale.std + data.scale.mean).tolist()
    if data.kind == "multi-label":
        rows = logits.cpu().numpy()
        return [[NOT_A_NUMBER] if np.isnan(row).any() else np.flatnonzero(row > 0).tolist() for row in rows]
    best = logits.argmax(-1).masked_fill(logits.isnan().any(-1), NOT_A_NUMBER).cpu().numpy()
    if data.kind == "classification":
        return best.tolist()
    return [_of_words(row, data.word_starts[i]) for row, i in zip(best, indices, strict=True)]


def _probabilities(logits: Tensor, data: Encoded) -> list[Any]:
    if data.kind == "multi-label":
        found = logits.sigmoid()
    else:
        found = logits.softmax(-1)
        found = found[:, 1] if data.num_labels == 2 else found
    rounded: list[Any] = _rounded(found.tolist())
    return rounded


def _rounded(values: Any) -> Any:
    return [_rounded(each) for each in values] if isinstance(values, list) else float(f"{values:.7g}")


def _of_words(best: np.ndarray, starts: np.ndarray) -> list[int]:
    """One prediction a word, that of its first piece; TRUNCATED for a word without a piece."""
    return np.where(starts == TRUNCATED, TRUNCATED, best[starts]).tolist()


def _is_number(prediction: Any) -> bool:
    values = prediction if isinstance(prediction, list) else [prediction]
    return all(math.isfinite(each) and each != NOT_A_NUMBER for each in values)
