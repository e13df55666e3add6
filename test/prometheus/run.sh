#!/usr/bin/env bash
# A Debian Prometheus scrapes exporters of a live cluster; diagnose --prometheus alone must name each fault.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/server.sh
apt_install prometheus
exec go run ./test/prometheus -binary .bin/streamkeeper "$@"
