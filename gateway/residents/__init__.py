"""The resident's page behind a deputy's code 代表码 or a station's 联络站码, `/r/`: HTML from the gateway, usable without a script.

A resident finds the deputy, or the station and its deputies, leaves a concern, keeps the receipt, follows what became of it, and answers. Forms
are plain; what was done leads on to an address that may be loaded again. `routes.py` takes forms apart and sends
what they ask for through `gateway.concerns` and `gateway.following`; `rendering.py` makes the pages; every
word stands in `zh.json` and `en.json`.

Invariants: no script runs here at all; what is wrong is said in the page, next to the field, and nothing typed
is lost; a form sent twice acts once, for its id is in it; a form on an opened concern needs a token that only
that page has; no secret stands in an address but the follow link's own.
"""
