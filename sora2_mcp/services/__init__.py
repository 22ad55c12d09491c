"""The video services: one pure file for each, and the one client that speaks to them."""
