"""The plugin contract: what every method and every task must do, check by check.

A check is a function whose docstring is a requirement and which yields errors (`checks`). `method_checks` examine a
`trial` of a method on the tiny `encoder`, `task_checks` what a task declares and reads. `checking` selects the plugins
that are meant and sends each to a worker process.
"""
