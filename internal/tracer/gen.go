package tracer

// Generated with the compiler that the Makefile pins: make generate.
//go:generate go tool bpf2go -target bpfel -tags linux bpf ../../bpf/tcpstate.bpf.c -- -I../../bpf -mcpu=v2 -Wall -Werror
