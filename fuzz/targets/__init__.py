"""One target for each thing that is read from outside. A target takes bytes and returns whether they were accepted.

Bad input must end as a BenchError: a sentence that says what is wrong. Any other exception is a finding. What is
accepted is used, too: a record that is read must also stand in every table.
"""

from fuzz.targets import data, records, weights, written

TARGETS = {target.name: target for target in (*records.TARGETS, *data.TARGETS, *weights.TARGETS, *written.TARGETS)}
