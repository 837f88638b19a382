//! Runs a command that inherits live BPF map descriptors.
#![no_main]

bpf_inherit::entry!(bpf_exec::bpf_exec);
