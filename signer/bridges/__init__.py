"""TenantBridges: named workloads reach another tenant by certificate, until either hand ends it."""
