"""CASources: what the injector may know of a Certificate's or Secret's CA, answered by the controllers."""
