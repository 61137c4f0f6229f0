"""The one collection of tables of this service's database; what cases and motions write is beside each other in it."""

from __future__ import annotations

from sqlalchemy import MetaData

from shared.messaging.tables import NAMING, messaging_tables

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)
