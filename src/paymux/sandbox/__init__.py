"""The laptop's world: an embedded broker, signed samples, and the providers' APIs on loopback."""
