"""A plugin for --plugin that takes all the time there is."""

import time

from third_party import Seasons


class Hangs(Seasons):
    name = "hangs"

    def read(self, path):
        time.sleep(600)
