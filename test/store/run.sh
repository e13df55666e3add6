#!/usr/bin/env bash
# The object store gone for 60 s under load, once by connection refused and once as a black hole: producing
# goes on, object_store_unavailable is named within 30 s, nothing is lost, the backlog drains.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec go run ./test/store -binary .bin/streamkeeper -s3 .bin/versitygw "$@"
