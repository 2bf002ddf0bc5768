"""What an operator may set: options, the values that were given, and what they come to."""
