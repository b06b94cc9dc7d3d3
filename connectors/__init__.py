"""One folder a CRM, in that CRM's own field names; knows nothing of sync, mapping or the deal."""
