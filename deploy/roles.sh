#!/bin/sh
# The two roles of docs/runbook.md: the owner changes tables, and hosts read and write rows.
# PostgreSQL's image runs it once, when the volume is new.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner_password="$OWNER_PASSWORD" --set serving_password="$SERVING_PASSWORD" <<'SQL'
CREATE ROLE owner LOGIN PASSWORD :'owner_password';
CREATE ROLE serving LOGIN PASSWORD :'serving_password' CONNECTION LIMIT 100;
CREATE DATABASE goldenpath OWNER owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE goldenpath FROM PUBLIC;
GRANT CONNECT ON DATABASE goldenpath TO serving;
SQL
