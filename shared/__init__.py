"""The kit that every service stands on. No business noun lives outside `shared.contracts`."""

import gc

# Importing and a batch make many objects that stay or that their end frees without the collector. With the
# default thresholds it took a sixth of a process's start (a fifth of evaluation's) and 40 % of a batch's client time.
gc.set_threshold(100_000, 20, 20)
