// Package bench measures what the documentation claims. It holds no code of the
// product: see docs/performance.md for the commands and the results.
//
//	go test ./bench -bench . -benchtime 1x -timeout 30m
//
// The paired benchmarks start the real binary, a plain httputil.ReverseProxy and
// one fast backend as processes of their own, drive both from here in
// interleaved rounds and report ratios, which hold on any machine; rates do not.
package bench
