#!/usr/bin/env bash
# How true the seconds of lag are: against what producers know, on the program's own broker and on a real Apache Kafka (from
# Maven Central).
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
if ! command -v java >/dev/null 2>&1 || ! command -v mvn >/dev/null 2>&1; then
	left_out "lag on a real Apache Kafka (java 17 or newer, or mvn, is missing; Debian: openjdk-17-jre-headless, maven)"
	exec go run ./test/lag -binary .bin/streamkeeper -target embedded "$@"
fi
exec go run ./test/lag -binary .bin/streamkeeper "$@"
