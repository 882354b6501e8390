"""Models that ship: slim run folders, one a folder, made by `breastseg export --format model`."""
