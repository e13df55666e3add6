#!/usr/bin/env bash
# Kafka's own command-line tools against the bundled broker; they come from Maven Central. -target kafka runs the
# same checks against Apache Kafka, -target kafka3 against three brokers of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
if ! command -v java >/dev/null 2>&1 || ! command -v mvn >/dev/null 2>&1; then
	left_out "Kafka's own tools (java 17 or newer, or mvn, is missing; Debian: openjdk-17-jre-headless, maven)"
	exit 0
fi
exec go run ./test/kafkatools -binary .bin/streamkeeper "$@"
