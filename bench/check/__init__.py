"""The plugin contract: what every method and every task must do, check by check.

A check is a requirement and a function that yields errors (`checks`). `method_checks` and `task_checks` hold them. They
look at a `trial` of a method on the tiny `encoder`, or at what a task reads. `selection` finds the plugins that are
meant, `checking` sends each to a `worker` process.
"""
