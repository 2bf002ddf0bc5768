"""What an operator sees: metrics, Events, audit lines, health, logs."""
