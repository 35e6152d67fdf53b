#!/bin/sh
# A role and a database each for Airflow, the ledger and MLflow: none of them can read another's.
# PostgreSQL's image runs it once, on an empty data directory.
set -eu

make_database() {
  psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set name="$1" --set secret="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'secret';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}

make_database airflow "$AIRFLOW_DB_PASSWORD"
make_database squall "$LEDGER_DB_PASSWORD"
make_database mlflow "$MLFLOW_DB_PASSWORD"
