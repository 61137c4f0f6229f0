"""Identity: who exists, and who may speak for whom.

Owns: deputies 人大代表 and their roster 代表名册, stations 代表联络站, departments 承办单位, staff 人大工作者,
sign-in names and password hashes, browsers' sessions 登录会话, the keys that sign everybody's tokens.
Consumes: its commands.
Emits: deputy.changed, station.changed, department.changed, staff.changed, each the whole present state.

Invariants: a deputy's id follows from the number on the roster, so the same roster may be imported
again; a row of a roster is taken whole or not at all, and never stops another; what did not change
is not announced; only somebody who is active gets a token; passwords exist here only as argon2id
hashes, refresh tokens only as digests; neither they nor sign-in names are ever logged or announced.
"""
