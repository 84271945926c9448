"""Statistics: how certain a score is, and whether two scores differ. No records and no files here."""

ALPHA = 0.05  # the false alarm rate of every test, interval and group
