#!/bin/sh
# Builds or tests the dashboard: ui.sh build | test. Nothing is done when nothing has changed.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
if [ ! -f web/ui/package.json ]; then
	exit 0
fi
if ! have_node; then
	left_out "the dashboard (Node 20.19 or newer is missing); the binary serves its API and text only"
	exit 0
fi
cd web/ui
install() {
	if [ ! -f node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then
		npm ci --no-audit --no-fund >&2
		touch node_modules/.installed
	fi
}
case "$1" in
build)
	if [ -f dist/index.html ] && [ -z "$(find src public index.html package-lock.json vite.config.ts tsconfig.json -newer dist/index.html -print -quit)" ]; then
		exit 0
	fi
	install
	npm run --silent build >&2
	;;
test)
	install
	npm test --silent >&2
	;;
*)
	echo "usage: ui.sh build | test" >&2
	exit 2
	;;
esac
