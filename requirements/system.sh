#!/bin/sh
# What pip cannot bring for the tests: the oldest PostgreSQL that is supported, and nginx.
# Where this account may not install them, the tests run on the newest PostgreSQL alone.
set -eu
missing=""
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing="$missing postgresql-15"
PATH="$PATH:/usr/sbin" command -v nginx >/dev/null || missing="$missing nginx-light"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed here, and not by this account:$missing; tests of them are left out" >&2
    exit 0
fi
# No server of the system's own is wanted: tests start theirs.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "could not be installed:$missing" >&2
