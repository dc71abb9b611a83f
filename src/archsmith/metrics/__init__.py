"""What is measured of an architecture or of a network: costs, latency, accuracy, proxies."""
