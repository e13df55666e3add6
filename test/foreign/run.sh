#!/usr/bin/env bash
# Faults on a real Apache Kafka (from Maven Central), watched through the Kafka protocol alone, cold: diagnose must
# name each. Its members are franz-go, librdkafka (kcat) and Java consumers.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
if ! command -v java >/dev/null 2>&1 || ! command -v mvn >/dev/null 2>&1; then
	left_out "faults on a real Apache Kafka (java 17 or newer, or mvn, is missing; Debian: openjdk-17-jre-headless, maven)"
	exit 0
fi
. scripts/server.sh
apt_install kcat
case " $* " in
*" -tiered "*)
	scripts/s3.sh object_store
	if ! command -v javac >/dev/null 2>&1; then
		left_out "faults of tiered storage (javac is missing; Debian: openjdk-17-jdk-headless)"
		exit 0
	fi
	;;
esac
exec go run ./test/foreign -binary .bin/streamkeeper "$@"
