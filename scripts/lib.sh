# shellcheck shell=bash
# Functions and variables of the other scripts, which source this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# On Debian, a user's PATH lacks the sbin directories, which contain bpftool and tc. Under sudo,
# PATH lacks cargo's directory.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-${HOME-}/.cargo}/bin

# The prefix of a command that only root may run.
sudo=()
((EUID == 0)) || sudo=(sudo)

# Programs that the tests use, and their packages.
# shellcheck disable=SC2034 # for scripts that source this
test_programs=(bpftool:bpftool tc:iproute2 ip:iproute2 ping:iputils-ping unshare:util-linux
	zsh:zsh fish:fish strace:strace systemd-analyze:systemd /usr/bin/python3:python3
	promtool:prometheus git:git)

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

need_root() {
	((EUID == 0)) || command -v sudo >/dev/null || die "not root, and no sudo here"
}

# need PROGRAM:PACKAGE…: installs the package of each program that is missing.
# An absolute path is a file that is not a program.
need() {
	local item found missing=()

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
	# Old package lists may still serve, so a failed update is only reported.
	apt_get update || true
	apt_get --no-install-recommends install "${missing[@]}" || die "cannot install ${missing[*]}"
}

# Makes promtool available. It is extracted from Debian's package, because installing the package
# starts a server.
need_promtool() {
	local tools=$root/target/promtool

	command -v promtool >/dev/null && return
	PATH=$PATH:$tools/usr/bin
	command -v promtool >/dev/null && return
	command -v apt-get >/dev/null || die "promtool is missing, and no apt-get to download it"
	need_root
	echo "${0##*/}: downloading promtool" >&2
	mkdir -p "$tools"
	apt_get update || true
	(cd "$tools" && apt_get download prometheus && dpkg -x prometheus_*.deb . &&
		rm prometheus_*.deb) || die "cannot download promtool"
}

# apt-get with arguments. If another process holds a lock of apt or dpkg (unattended upgrades
# on a new machine), waits up to ten minutes for it. DPkg::Lock::Timeout would wait without a
# message, and not for the lock of the package lists.
apt_get() {
	local output waiting='' deadline=$((SECONDS + 600))

	until output=$("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
		apt-get -qq -y "$@" </dev/null 2>&1); do
		if [[ $output != *'Could not get lock'* ]] || ((SECONDS >= deadline)); then
			echo "$output" >&2
			return 1
		fi
		if [[ -z $waiting ]]; then
			waiting=${output##*Could not get lock }
			echo "${0##*/}: waiting up to 10 minutes for ${waiting%%$'\n'*}" >&2
		fi
		sleep 1
	done
}

need_cargo() {
	command -v cargo >/dev/null || die "cargo not found: install Rust, see https://rustup.rs"
}

# Builds the release binaries and prints their directory, which depends on the configuration of
# cargo.
build_release() (
	# Cargo reads .cargo/config.toml of the directory it is started in.
	cd "$root" || exit
	cargo build --release --locked --bins --message-format=json-render-diagnostics </dev/null |
		sed -n 's|.*"executable":"\([^"]*\)/bpf-exec".*|\1|p'
)

# If the user is not root, makes cargo build as the user, and run tests and benches as root, so that
# target/ contains no files of root.
run_built_as_root() {
	local triple

	((EUID)) || return 0
	triple=$(rustc -vV | sed -n 's/^host: //p')
	triple=${triple//-/_}
	# sudo sets another PATH, without promtool's directory.
	export "CARGO_TARGET_${triple^^}_RUNNER=sudo -E env PATH=$PATH"
}
