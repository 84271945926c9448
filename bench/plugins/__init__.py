"""What a method, a task and a metric are, and the registry that finds them. A plugin's file imports from here."""

from bench.errors import NotApplicable
from bench.plugins.method import Method, MethodFamily, Params
from bench.plugins.metric import Metric
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import Space, rates
from bench.plugins.splits import cut, official
from bench.plugins.task import Example, Pooling, Splits, Task, TaskContext

__all__ = [
    "Example", "Method", "MethodFamily", "Metric", "NotApplicable", "Params", "Pooling", "Recipe", "Space",
    "Splits", "Task", "TaskContext", "cut", "official", "rates",
]  # fmt: skip
