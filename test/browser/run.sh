#!/usr/bin/env bash
# Headless Chromium watches a real fault on the dashboard. SCREENSHOT=1 renews docs/dashboard.png.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
. scripts/server.sh
if ! have_node; then
	left_out "the dashboard in a browser (Node 20.19 or newer is missing)"
	exit 0
fi
apt_install chromium
(cd test/browser && npm ci --no-audit --no-fund >/dev/null 2>&1)
exec timeout -k 20 240 node test/browser/watch.mjs "${BINARY:-.bin/streamkeeper}"
