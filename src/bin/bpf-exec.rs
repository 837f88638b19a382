//! Opens BPF maps and runs a command that inherits their file descriptors.
#![no_main]

bpf_inherit::entry!(bpf_exec::bpf_exec);
