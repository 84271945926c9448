"""Errors that are the user's to mend: one clear sentence each, shown without a traceback."""


class BenchError(Exception):
    """Something the user can put right. The message says what is wrong and what to do."""


class UsageError(BenchError):
    """A wrong name, parameter or combination of options."""


class PluginError(BenchError):
    """A method or task that cannot be loaded or does not keep the plugin contract."""


class SourceError(BenchError):
    """A model or data set that cannot be had: missing, damaged, unsafe or out of reach."""


class ProfileError(BenchError):
    """A hardware profile that does not exist, is malformed, or that this machine cannot honour."""


class NotApplicable(BenchError):
    """A method that cannot be had on this model or task; its cell is skipped with this reason."""
