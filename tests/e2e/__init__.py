"""The whole story on a real mesh. A package, so that its fixtures of that scope end with it."""
