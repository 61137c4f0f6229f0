"""What the reads answer, for the OpenAPI document and so for the pages' types: a file for each service that answers.

The services answer, and the gateway passes their bytes on unread; these models only describe them. The browser
tests hold every answer that a page got against them. Fields may be added to an answer at any time.

Invariant: no two answers have one name, for the document and the pages know them by it.
"""
