# Shared by the scripts of this folder: source it.

# left_out says loudly what a run leaves out; in CI that is a failure.
left_out() {
	printf '\n*** LEFT OUT: %s ***\n\n' "$1" >&2
	if [ -n "${CI:-}" ]; then
		echo "this is CI: leaving something out is a failure" >&2
		exit 1
	fi
}

# have_node is true with Node 20.19 or newer.
have_node() {
	command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 &&
		node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)'
}
