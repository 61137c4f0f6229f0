#!/bin/bash
# Makes the data folder as the official image does, runs the scripts of /docker-entrypoint-initdb.d, then the server.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  # shellcheck disable=SC2086  (several arguments in one variable, as in the official image)
  initdb --pgdata "$PGDATA" --username postgres --pwfile "$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses='' -k /tmp" start
  for script in /docker-entrypoint-initdb.d/*.sh; do PGHOST=/tmp bash "$script"; done
  pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
fi
exec "$@" -c listen_addresses='*' -k /tmp
