#!/usr/bin/env bash
# A Debian Prometheus (-victoria-metrics: a Debian VictoriaMetrics with its agent) scrapes exporters of a live cluster;
# diagnose --prometheus alone must name each fault.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/server.sh
case " $* " in
*" -victoria-metrics "*) apt_install victoria-metrics ;;
*) apt_install prometheus ;;
esac
exec go run ./test/prometheus -binary .bin/streamkeeper "$@"
