"""From a request to finished records: plan, schedule, execution, progress."""
