"""Plugins for --plugin that fail as a whole."""

import os

from honest_plugins import Seasons, Shift


class Crashes(Shift):
    name = "crashes"

    def apply(self, model, task):
        os._exit(3)


class Lonely(Seasons):
    name = "lonely"
    labels = ("cold",)
