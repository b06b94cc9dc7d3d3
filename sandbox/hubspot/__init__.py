"""A stand-in for one HubSpot portal: its CRM objects, associations, search and webhooks."""
