"""Plugins for --plugin that fail as a whole."""

import os
import time

from honest_plugins import Seasons


class Crashes(Seasons):
    name = "crashes"

    def read(self, path):
        os._exit(3)


class Lonely(Seasons):
    name = "lonely"
    labels = ("cold",)


class Hangs(Seasons):
    name = "hangs"

    def read(self, path):
        time.sleep(600)
