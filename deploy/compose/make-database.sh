#!/bin/sh
# Creates Stagedoor's database and the role that owns it, which has no other rights. PostgreSQL's image
# runs this once, for a new volume, as the superuser.
set -eu
psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --set ON_ERROR_STOP=1 \
  --set password="$STAGEDOOR_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE stagedoor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE stagedoor OWNER stagedoor;
REVOKE ALL ON DATABASE stagedoor FROM PUBLIC;
SQL
