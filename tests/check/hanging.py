"""A plugin for --plugin that takes all the time there is."""

import time

from honest_plugins import Seasons


class Hangs(Seasons):
    name = "hangs"

    def read(self, path):
        time.sleep(600)
