"""Methods and tasks by name.

A plugin that cannot be imported, or does not say what it must, is kept with its reason and stands in nobody's way.
"""

from bench.plugins.discovery import load_file as load_file
from bench.plugins.discovery import methods as methods
from bench.plugins.discovery import tasks as tasks
from bench.plugins.params import build_method as build_method
from bench.plugins.params import changed_params as changed_params
from bench.plugins.params import describe_params as describe_params
from bench.plugins.params import params_text as params_text
from bench.plugins.registered import Found as Found
from bench.plugins.registered import Registry as Registry
