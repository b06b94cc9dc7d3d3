"""Outgoing channels: e-mail and signed webhooks behind one port."""
