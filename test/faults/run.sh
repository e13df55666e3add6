#!/usr/bin/env bash
# Faults injected into clients that are not ours: each must be named first, on its group, by `streamkeeper diagnose`,
# and a group that does nothing wrong must stay quiet.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/server.sh
apt_install kcat python3-confluent-kafka
server_start --set log.level=warn
/usr/bin/python3 test/faults/faults.py "$KAFKA" "$HTTP" .bin/streamkeeper
