# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of vm-test
# A run of the virtual machine: its tests, their image, the boot and the result; sourced by vm-test.

# prepare_job: builds the suite and packs the tests that $all and $filters name.
prepare_job() {
	local job=$work/job built

	cargo_messages >"$work/messages"
	jq -r 'select(.executable and .profile.test) | "\(.target.name) \(.executable)"' \
		"$work/messages" >"$work/binaries"
	built=$(jq -r 'select(.executable and .target.name == "bpf-exec") | .executable' "$work/messages")
	built=${built%/*}
	[[ -n $built ]] || die "the build left no bpf-exec"
	mkdir -p "$job/tree$root" "$job/tree$built"
	expand_filters
	select_tests >"$job/tests"
	printf '%s=%q\n' root "$root" built "$built" units "$systemd" record "$all" >"$job/config"
	cp "$vm/run" "$job/run"
	tar -C "$root" --exclude=target --exclude=.git -c . | tar -C "$job/tree$root" -x
	copy_binaries "$built" "$job/tree$built"
	mke2fs -q -t ext4 -O ^has_journal -d "$job" "$work/job.img" \
		"$(($(du -sm "$job" | cut -f 1) * 5 / 4 + 64))M" >/dev/null
	rm -rf "$job/tree"
}

cargo_messages() (
	# Cargo reads .cargo/config.toml of the directory it is started in.
	cd "$root" || exit
	cargo test --workspace --no-run --locked --message-format=json-render-diagnostics </dev/null
)

# Replaces each filter that names a module by the names of its tests.
expand_filters() {
	local filter binary path expanded=()

	for filter in "${filters[@]}"; do
		binary=${filter%%::*}
		path=$(sed -n "s/^$binary //p" "$work/binaries")
		[[ -n $path ]] || die "$filter: no test binary $binary"
		if [[ $filter == *::* ]]; then
			"$path" --list --format terse | awk -v binary="$binary" -v filter="$filter" '
				sub(/: test$/, "") { $0 = binary "::" $0 }
				$0 == filter || index($0, filter "::") == 1' >"$work/expanded"
			[[ -s $work/expanded ]] || die "$filter: no such test or module"
			mapfile -t -O "${#expanded[@]}" expanded <"$work/expanded"
		else
			expanded+=("$filter")
		fi
	done
	filters=("${expanded[@]}")
}

# Prints a line for each test binary that is to run: its name, its path and the names of
# its tests; no names if all of them are to run.
select_tests() {
	if [[ -n $all ]]; then
		# These run cargo, and the machine has no compiler.
		grep -v '^build ' "$work/binaries"
		return
	fi
	printf '%s\n' "${filters[@]}" | awk '
		NR == FNR { split($0, part, "::"); name = part[1]; test = substr($0, length(name) + 3) }
		NR == FNR { if (test == "") whole[name] = 1; else some[name] = some[name] " " test; next }
		$1 in whole { print; next }
		$1 in some { print $0 some[$1] }' - "$work/binaries"
}

# copy_binaries FROM TO: copies the programs, the examples and the selected tests, without debug
# information.
copy_binaries() {
	local file

	mkdir -p "$2/examples" "$2/deps"
	for file in "$1"/{bpf-exec,bpf-map,bpf-agent} $(jq -r \
		'select(.executable and .target.kind == ["example"]) | .executable' "$work/messages") \
		$(cut -d ' ' -f 2 "$work/job/tests"); do
		objcopy --strip-debug "$file" "$2${file#"$1"}"
	done
}

# run_machine: boots the job. Its output goes to stdout and $work/output, the kernel's to $work/console.
run_machine() {
	local process1=/job/run seconds=300 ended=0

	[[ -z $systemd ]] || process1='/lib/systemd/systemd systemd.run=/job/run'
	[[ -z $all ]] || seconds=7200
	# The emulated cmpxchg16b of QEMU 7.2.22 overwrites the flags; the kernel runs without.
	timeout "${VM_TIMEOUT:-$seconds}" qemu-system-x86_64 -accel tcg -cpu max,cx16=off -m 4G -smp 2 \
		-display none -monitor none -no-reboot -nic none \
		-serial "file:$work/console" -serial stdio \
		-kernel "$boot/vmlinuz" -initrd "$boot/initrd" \
		-append "console=ttyS0 panic=-1 quiet mitigations=off process1=$process1" \
		-drive "file=$image,format=raw,if=virtio,snapshot=on" \
		-drive "file=$work/job.img,format=raw,if=virtio,snapshot=on" \
		</dev/null | tee "$work/output" || ended=$?
	((ended != 124)) || die "timed out: $(tail -n 20 "$work/console")"
}

# Fails unless the job ended with status 0 and each named test ran.
check_output() {
	local status filter missing=()

	status=$(sed -n 's/^vm-test: status //p' "$work/output")
	[[ -n $status ]] || die "the machine ended before the tests: $(tail -n 20 "$work/console")"
	grep -q '^test .* \.\.\. ok$' "$work/output" || die "no test ran"
	# Names of tests as filters.
	awk '/^vm-test: binary / { binary = $3 }
		/^test .* \.\.\. ok$/ { print binary "::" $2; print binary }' "$work/output" >"$work/passed"
	for filter in "${filters[@]}"; do
		grep -qFx "$filter" "$work/passed" || missing+=("$filter")
	done
	((${#missing[@]} == 0)) || die "did not run and pass: ${missing[*]}"
	((status == 0)) || die "tests failed"
}
