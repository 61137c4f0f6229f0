#!/bin/bash
# Gives each service a role and a database that nobody else may connect to. PostgreSQL's image runs this when it
# makes its data folder; it may be repeated (docker compose exec postgres bash /docker-entrypoint-initdb.d/databases.sh).
# A service's password is the file database.<service> in /run/secrets (or $SECRETS_DIR).
set -e
for password_file in "${SECRETS_DIR:-/run/secrets}"/database.*; do
  export password_file
  psql -v ON_ERROR_STOP=1 --quiet --no-psqlrc --username postgres --dbname postgres -v name="${password_file##*.}" <<'SQL'
\set password `cat "$password_file"`
select format('create role %I', :'name') where not exists (select from pg_roles where rolname = :'name') \gexec
alter role :"name" with login nosuperuser nocreatedb nocreaterole password :'password';
select format('create database %I owner %I', :'name', :'name')
where not exists (select from pg_database where datname = :'name') \gexec
revoke all on database :"name" from public;
revoke all on database postgres, template1 from public;
SQL
done
