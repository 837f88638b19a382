//! The examples at the end of each command's `--help`. The tests run them.

/// The end of the help of a command: at least one example, unless the command is hidden.
pub fn help(command: &str) -> &'static str {
    match command {
        "list" => "Example:\n  bpf-map list --all --json",
        "show" => "Examples:\n  bpf-map show hits\n  bpf-map show prog:/sys/fs/bpf/filter",
        "get" => "Examples:\n  bpf-map get hits 0\n  bpf-map get flows 10.0.0.1 .bytes --default 0",
        "set" => {
            "Examples:\n  bpf-map set flows 10.0.0.1 'packets=2 bytes=128'\n  \
             bpf-map set flows 10.0.0.1 .packets 3 --if .packets=2"
        }
        "add" => "Example:\n  bpf-map add flows 10.0.0.1 .packets 1",
        "take" => "Example:\n  bpf-map take flows --fields packets",
        "del" => "Example:\n  bpf-map del flows 10.0.0.1",
        "clear" => "Example:\n  bpf-map clear flows",
        "count" => "Example:\n  bpf-map count flows",
        "keys" => "Example:\n  bpf-map keys flows",
        "dump" => "Example:\n  bpf-map dump --jsonl flows",
        "load" => "Example:\n  bpf-map load flows saved.jsonl",
        "watch" => "Example:\n  bpf-map watch hits --count 1",
        "trace" => "Example:\n  bpf-map trace --jsonl --count 10",
        "push" => "Example:\n  bpf-map push jobs 7 8",
        "pop" => "Example:\n  bpf-map pop jobs",
        "peek" => "Example:\n  bpf-map peek jobs",
        "has" => "Example:\n  bpf-map has seen 10.0.0.1 && echo maybe",
        "graft" => "Example:\n  bpf-map graft calls 0 noop.bpf.o#noop_tc",
        "pin" => "Example:\n  bpf-map pin flows /sys/fs/bpf/saved",
        "unpin" => "Example:\n  bpf-map unpin /sys/fs/bpf/saved",
        "freeze" => "Example:\n  bpf-map freeze hits",
        "create" => {
            "Example:\n  bpf-map create 'new=hash,key=ip4,value=u64,entries=1k' --pin /sys/fs/bpf/new"
        }
        "object" => "Example:\n  bpf-map object tool.bpf.o",
        "pins" => "Example:\n  bpf-map pins",
        "expose" => "Example:\n  bpf-map expose flows /sys/fs/bpf/flows_txt",
        "preload" => "Example:\n  bpf-map preload",
        "send" => "Example:\n  bpf-map send hits flows /run/maps.sock",
        "put" => "Example:\n  bpf-map put hits prog:/sys/fs/bpf/filter",
        "agent" => "Example:\n  bpf-map agent --json",
        "batch" => "Example:\n  echo 'get hits 0' | bpf-map batch",
        "completion" => "Example:\n  bpf-map completion bash",
        _ => "",
    }
}
