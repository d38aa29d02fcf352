#!/bin/sh
# Makes the data at the first start, and becomes the command. Honours what perfgate tells the official image:
# POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and POSTGRES_INITDB_ARGS.
set -eu
: "${POSTGRES_PASSWORD:?must be set}"
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    password_file=$(mktemp)
    printf %s "$POSTGRES_PASSWORD" >"$password_file"
    # shellcheck disable=SC2086 # several arguments
    initdb --username="$user" --pwfile="$password_file" --auth=scram-sha-256 --no-instructions \
        ${POSTGRES_INITDB_ARGS:-} >/dev/null
    rm "$password_file"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\";" | postgres --single -j postgres >/dev/null
    fi
fi
unset POSTGRES_PASSWORD
exec "$@"
