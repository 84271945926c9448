"""A method and a task as a third party would write them, in one file for --plugin. Both keep the contract."""

import json
from pathlib import Path

from bench.plugins import Example, Method, Params, Recipe, Task, cut


class ShiftParams(Params):
    std: float = 0.5
    dropout: float = 0.2


class Shift(Method):
    """One trained vector, added to the embedding of every token."""

    name = "shift"
    Params = ShiftParams

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=1, chosen_by="nobody")

    def apply(self, model, task):
        import torch

        embeddings = model.base_model.embeddings
        vector = torch.randn(model.config.hidden_size) * self.params.std
        embeddings.register_parameter("shift", torch.nn.Parameter(vector))
        embeddings.shift_dropout = torch.nn.Dropout(self.params.dropout)
        embeddings.register_forward_hook(self.shifted)
        return model

    def shifted(self, embeddings, args, output):
        return output + embeddings.shift_dropout(embeddings.shift)

    def trainable_formula(self, config, task):
        return config.hidden_size

    def starts_at_base(self):
        return False


class Seasons(Task):
    """Is a day warm?"""

    name = "seasons"
    kind = "classification"
    source = str(Path(__file__).with_name("seasons.json"))
    labels = ("cold", "warm")
    metric = "accuracy"
    citation = "made up for a test"

    def read(self, path):
        rows = json.loads(path.read_text(encoding="utf-8"))
        return cut([Example(text, label) for text, label in rows], salt="seasons", validation=4, test=4)
