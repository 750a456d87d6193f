"""Who saw what, who did what, and when: written before it happens, never changed, and read by auditors."""
