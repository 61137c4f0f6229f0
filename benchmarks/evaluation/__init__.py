"""How fast events become scores: evaluation as shipped against hand-written loops, on one broker and one database."""
