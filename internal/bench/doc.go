// Package bench measures what tracing costs a host: throughput of connections with and without it, the reader's CPU
// time, and memory. It has only benchmarks: make bench runs them and prints a table of the figures with their limits.
//
// A figure called x has its limit beside it as x-max or x-min. What is compared is always measured in turns, so that
// whatever else the machine does meets both sides; a benchmark fails when a count is wrong, never for being slow. What
// needs the inside of a package (the program's run time, decoding) is benchmarked there.
package bench
