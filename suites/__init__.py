"""Named grids, one TOML file each: what to run, with which budget."""
