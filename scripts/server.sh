# Starts and stops a server for a test: source it after lib.sh, then server_start ARGS…; it sets KAFKA, HTTP
# and WORK, and stops the server when the script ends.

server_start() {
	WORK=$(mktemp -d)
	.bin/streamkeeper up --data "$WORK/data" --kafka-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 "$@" >"$WORK/out" 2>"$WORK/err" &
	SERVER=$!
	trap server_stop EXIT INT TERM
	for _ in $(seq 400); do
		if grep -q '^ready ' "$WORK/out"; then
			KAFKA=$(sed -n 's/^ready .*kafka=\([^ ]*\).*/\1/p' "$WORK/out")
			HTTP=$(sed -n 's/^ready .*http=\([^ ]*\).*/\1/p' "$WORK/out")
			return 0
		fi
		kill -0 "$SERVER" 2>/dev/null || break
		sleep 0.1
	done
	echo "the server did not start:" >&2
	cat "$WORK/err" >&2
	exit 1
}

server_stop() {
	status=$?
	trap - EXIT INT TERM
	kill "$SERVER" 2>/dev/null || true
	wait "$SERVER" 2>/dev/null || true
	if [ "$status" -ne 0 ] && [ -s "$WORK/err" ]; then
		echo "the server's log:" >&2
		tail -n 40 "$WORK/err" >&2
	fi
	rm -rf "$WORK"
	exit "$status"
}

# apt_install NAME… installs Debian packages that are missing.
apt_install() {
	missing=
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
	done
	[ -z "$missing" ] && return 0
	if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
		echo "these packages are needed:$missing" >&2
		exit 1
	fi
	echo "installing$missing" >&2
	apt-get update -qq >&2
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >&2
}
