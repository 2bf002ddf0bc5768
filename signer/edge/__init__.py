"""The edge: public certificates of gateways, and the challenges that prove their names."""
