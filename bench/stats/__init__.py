"""The arithmetic of claims: how sure a score is, and whether two of them differ. Knows of no record and no file."""

ALPHA = 0.05  # the rate of false alarms that every test, interval and group here is built for
