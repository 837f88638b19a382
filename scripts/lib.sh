# shellcheck shell=bash
# What the other scripts share; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian leaves the sbin directories, where bpftool and tc are, out of a
# user's PATH; sudo leaves cargo's out of root's.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-${HOME-}/.cargo}/bin

# What to put before a command that only root may run.
sudo=()
((EUID == 0)) || sudo=(sudo)

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

need_root() {
	((EUID == 0)) || command -v sudo >/dev/null || die "not root, and no sudo here"
}

# need PROGRAM:PACKAGE…: installs the package of each program that is missing.
# An absolute path stands for a file that is no program.
need() {
	local item found output missing=()

	for item; do
		found=${item%%:*}
		if [[ $found == /* ]]; then
			[[ -e $found ]] || missing+=("${item##*:}")
		else
			command -v "$found" >/dev/null || missing+=("${item##*:}")
		fi
	done
	((${#missing[@]})) || return 0
	command -v apt-get >/dev/null || die "missing, and no apt-get to install: ${missing[*]}"
	need_root
	echo "${0##*/}: installing ${missing[*]}" >&2
	# A list that cannot be refreshed is no failure: the packages may still be there.
	output=$("${sudo[@]}" apt-get -qq update </dev/null 2>&1) || echo "$output" >&2
	output=$("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		--no-install-recommends install "${missing[@]}" </dev/null 2>&1) ||
		die "cannot install ${missing[*]}: $output"
}

need_cargo() {
	command -v cargo >/dev/null || die "cargo not found: install Rust, see https://rustup.rs"
}

# Builds the release binaries and prints the directory they are in, which
# cargo alone knows: its target may be configured.
build_release() (
	# Cargo reads .cargo/config.toml of the directory it is started in.
	cd "$root" || exit
	cargo build --release --locked --bins --message-format=json-render-diagnostics </dev/null |
		sed -n 's|.*"executable":"\([^"]*\)/bpf-exec".*|\1|p'
)

# Where this user is not root, cargo builds as the user and runs what it built,
# tests and benches alike, as root: no file of root's stays in target/.
run_built_as_root() {
	local triple

	((EUID)) || return 0
	triple=$(rustc -vV | sed -n 's/^host: //p')
	triple=${triple//-/_}
	export "CARGO_TARGET_${triple^^}_RUNNER=sudo -E"
}
