"""Connector to one HubSpot account through its CRM API."""
