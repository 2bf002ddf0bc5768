"""What the wall stands on, watched: mesh config, ProxyConfigs, namespaces, policies, bindings."""
