"""From bytes to objects: JSON, and protobuf by walking tags."""
