"""The gateway: the one address that clients know. It routes, transcodes and describes; it decides nothing."""
