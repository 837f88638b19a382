# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of vm-test
# The root image of the virtual machine; sourced by vm-test.

# prepare_root_image: prints the path of the image, which contains the programs for the tests.
prepare_root_image() {
	# /bin/kill of the unit's ExecReload= is in procps.
	local packages=procps item image log=$cache/root-image.log

	for item in "${test_programs[@]}"; do
		packages+=,${item##*:}
	done
	image=$cache/root-$(hash_files "$vm/root-image.sh" <(echo "$packages")).img
	if [[ ! -e $image ]]; then
		need_root
		echo "${0##*/}: preparing the root image" >&2
		rm -f "$cache"/root-*.img
		"${sudo[@]}" unshare --mount "$BASH" -euc "$(declare -f build_root_image)
			build_root_image \"\$@\"" "$0" "$release" "$packages" "$(find_mirror)" "$keyring" \
			"$work/root" "$work/root.img" >"$log" 2>&1 </dev/null ||
			die "no root image: $(tail -n 20 "$log")"
		mv "$work/root.img" "$image"
	fi
	echo "$image"
}

# Runs as root: RELEASE PACKAGES MIRROR KEYRING DIRECTORY IMAGE.
build_root_image() {
	debootstrap --variant=minbase --keyring="$4" --include="$2" "$1" "$5" "$3"
	rm -rf "$5"/var/cache/apt/* "$5"/var/lib/apt/lists/* "$5"/usr/share/{doc,locale}
	# Its package is here for promtool.
	rm -f "$5"/etc/systemd/system/multi-user.target.wants/prometheus.service
	mkdir "$5/job"
	mke2fs -q -t ext4 -O ^has_journal -d "$5" "$6" 2G
	rm -rf "$5"
	chown --reference="$(dirname "$6")" "$6"
}
