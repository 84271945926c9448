"""From records to tables. The same records give the same tables to the byte, whatever their order."""
