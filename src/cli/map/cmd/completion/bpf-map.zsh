#compdef bpf-map
# Completion of bpf-map for zsh: source <(bpf-map completion zsh), or as _bpf-map in $fpath
_bpf-map() {
	local candidate what files=
	local -a names

	while IFS=$'\t' read -r candidate what; do
		if [[ $candidate == :files ]]; then
			files=1
		else
			names+=("${candidate//:/\\:}:$what")
		fi
	done < <(command bpf-map complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
	((!$#names)) || _describe bpf-map names
	[[ -z $files ]] || _files
}

if [[ $funcstack[1] == _bpf-map ]]; then
	_bpf-map "$@"
else
	compdef _bpf-map bpf-map
fi
