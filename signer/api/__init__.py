"""The resources that we read and write, one file each. Knows no controller and opens no connection."""
