"""How the suite is put up: topics and access rights (`kafka/`), and the whole of it on one machine (`local/`)."""
