"""Views for those who read elsewhere: kept up to date in PostgreSQL, straight from a node's data folder."""
