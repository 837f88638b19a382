# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of vm-test
# Debian's cloud kernels and the initrd that mounts the root image; sourced by vm-test.

# The modules that the tests and the root image need; others are built into the cloud kernel.
modules=(virtio_pci virtio_blk ext4 veth cls_bpf sch_ingress act_bpf)

# The URI of the Debian archive that this machine's apt uses.
find_mirror() {
	local mirror

	# shellcheck disable=SC2016 # apt's variable
	mirror=$(apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
	[[ -n $mirror ]] || die "no Debian archive in apt's sources"
	echo "$mirror"
}

# Runs a command of apt on $release and its backports, with separate package lists: the sources of
# this machine are not changed.
private_apt() {
	local command=$1 directory=$cache/apt
	shift

	if [[ ! -e $directory/ready ]]; then
		mkdir -p "$directory/state/lists" "$directory/cache"
		printf "deb [signed-by=$keyring] $(find_mirror) %s main\n" \
			"$release" "$release-backports" >"$directory/sources.list"
		cat >"$directory/apt.conf" <<-END
			Dir::Etc::sourcelist "$directory/sources.list";
			Dir::Etc::sourceparts "-";
			Dir::State "$directory/state";
			Dir::State::status "/dev/null";
			Dir::Cache "$directory/cache";
			APT::Sandbox::User "";
		END
		APT_CONFIG=$directory/apt.conf apt-get -qq update
		touch "$directory/ready"
	fi
	APT_CONFIG=$directory/apt.conf "$command" "$@"
}

# unpack_package PACKAGE DIRECTORY
unpack_package() (
	download=$(mktemp -d "$work/package.XXXXXX")
	cd "$download" || exit
	private_apt apt-get -qq download "$1"
	dpkg -x ./*.deb "$2"
)

# The package of the newest cloud kernel $1, such as 6.12.
find_kernel_package() {
	private_apt apt-cache search --names-only "^linux-image-${1/./\\.}\\..*-cloud-amd64$" |
		cut -d ' ' -f 1 | sort -V | tail -n 1
}

# prepare_kernel VERSION: prints the directory of vmlinuz and initrd.
prepare_kernel() {
	local directory package

	directory=$cache/kernel-$1-$(hash_files "$vm/kernel.sh" "$vm/init")
	if [[ ! -e $directory ]]; then
		package=$(find_kernel_package "$1")
		[[ -n $package ]] || die "no cloud kernel $1 in $release and its backports"
		echo "${0##*/}: preparing $package" >&2
		rm -rf "$cache/kernel-$1"-*
		unpack_package "$package" "$work/kernel"
		unpack_package busybox-static "$work/busybox"
		mkdir "$work/boot"
		make_initrd >"$work/boot/initrd"
		mv "$work"/kernel/boot/vmlinuz-* "$work/boot/vmlinuz"
		mv "$work/boot" "$directory"
	fi
	echo "$directory"
}

# Packs busybox, the modules in the order in which they are loaded, and init.
make_initrd() {
	local initrd=$work/tree version module count=10 name

	version=$(basename "$work"/kernel/lib/modules/*)
	depmod -b "$work/kernel" "$version"
	mkdir -p "$initrd"/{bin,dev,modules,proc,root}
	cp "$work/busybox/bin/busybox" "$initrd/bin/"
	cp "$vm/init" "$initrd/init"
	for module in $(list_modules "$version"); do
		name=$initrd/modules/$((count++))-$(basename "${module%.xz}")
		# Backports compresses modules.
		case $module in
		*.xz) xz -dc "$module" >"$name" ;;
		*) cp "$module" "$name" ;;
		esac
	done
	(cd "$initrd" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1)
}

# The paths of all modules and their dependencies, dependencies first.
list_modules() {
	local module

	for module in "${modules[@]}"; do
		modprobe --show-depends -d "$work/kernel" -S "$1" "$module"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}
