# shellcheck shell=bash
# Completion of bpf-map for bash: source <(bpf-map completion bash)
_bpf_map() {
	local i word candidate cur=
	local -a words=()

	# bash splits words at the colon of id:12; bpf-map does not.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((${#words[@]})) && [[ $word == [:=]* || ${COMP_WORDS[i - 1]} == *[:=] ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	cur=${words[-1]}
	COMPREPLY=()
	while IFS=$'\t' read -r candidate _; do
		if [[ $candidate == :files ]]; then
			# Offer files if no candidate matches.
			compopt -o default 2>/dev/null
			continue
		fi
		# Bash replaces only the text after the last colon.
		candidate=${candidate#"${cur%"${COMP_WORDS[COMP_CWORD]}"}"}
		printf -v candidate %q "$candidate"
		COMPREPLY+=("$candidate")
	done < <(command bpf-map complete -- "${words[@]}" 2>/dev/null)
}
complete -F _bpf_map bpf-map
