# Shared by the scripts of this folder; to be sourced. The caller stands at the
# root of the repository.

# in_ci is true on continuous integration, where nothing may be skipped.
in_ci() { [ "${CI:-}" = true ]; }

# skip WHAT WHY ends the calling script: with success on a developer's machine,
# as a failure on continuous integration.
skip() {
	if in_ci; then
		echo "FAIL: $1: $2 (CI=true: nothing is skipped)" >&2
		exit 1
	fi
	echo "skipped: $1: $2"
	exit 0
}

# go_files DIR is true when DIR holds a Go package.
go_files() { compgen -G "$1/*.go" >/dev/null; }

# npm_peers WHAT installs the pinned npm packages, or skips WHAT. Tests find their
# programs in RECLOSER_NPM_BIN, which is also first in PATH, so that a program's
# own "node" is the pinned one.
npm_peers() {
	test/install-npm || skip "$1" "the npm packages could not be installed"
	RECLOSER_NPM_BIN=$PWD/.tools/npm/node_modules/.bin
	export RECLOSER_NPM_BIN PATH="$RECLOSER_NPM_BIN:$PATH"
	"$RECLOSER_NPM_BIN/node" --version >/dev/null 2>&1 || command -v node >/dev/null ||
		skip "$1" "there is no Node for this platform among the pinned packages, and none is installed"
}
