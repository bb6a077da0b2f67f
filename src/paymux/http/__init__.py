"""The listeners: webhooks (public), and the private one with metrics, health and the API."""
