"""HTTP/1.1 as the hot path needs it: connections, one exchange, one answer."""
