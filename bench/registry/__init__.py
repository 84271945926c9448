"""Methods and tasks by name.

A plugin that cannot be imported, or does not say what it must, is kept with its reason and stands in nobody's way.
"""

from bench.registry.discovery import load_file as load_file
from bench.registry.discovery import methods as methods
from bench.registry.discovery import tasks as tasks
from bench.registry.params import build_method as build_method
from bench.registry.params import changed_params as changed_params
from bench.registry.params import describe_params as describe_params
from bench.registry.params import params_text as params_text
from bench.registry.registered import Found as Found
from bench.registry.registered import Registry as Registry
