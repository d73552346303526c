package bench

import (
	"slices"
	"testing"
	"time"
)

const (
	rounds  = 9
	callers = 16
)

func replaceBackend(addr string) string {
	return `{listen: LISTEN, admin: {listen: ADMIN}, log: {level: error}, mcpServers: {fast: {url: "http://` + addr + `/mcp"}}}`
}

// BenchmarkSmallCall reports, against a plain reverse proxy in front of the same
// backend: rate/x, cpu/x (processor time per call) and allocations per call of
// the whole gateway process.
func BenchmarkSmallCall(b *testing.B) {
	backend := start(b, "backend", "")
	proxy := start(b, "reverseproxy", backend.addr)
	gw := startGateway(b, buildRecloser(b), replaceBackend(backend.addr))

	plain, ours := call(proxy.addr, "/mcp", "echo"), call(gw.addr, "/mcp", "fast_echo")
	round(proxy.addr, plain, callers, time.Second, 1)
	round(gw.addr, ours, callers, time.Second, 1)

	b.ResetTimer()
	for range b.N {
		var rate, cpu, allocs, cpu1000, proxyRate []float64
		for range rounds {
			c0 := proxy.cpu(b)
			p := round(proxy.addr, plain, callers, time.Second, 1)
			c1 := proxy.cpu(b)
			g0, m0 := gw.cpu(b), gw.mallocs(b)
			g := round(gw.addr, ours, callers, time.Second, 1)
			g1, m1 := gw.cpu(b), gw.mallocs(b)
			if p.failed+p.truncated+g.failed+g.truncated > 0 {
				b.Fatalf("plain %+v, ours %+v", p, g)
			}
			perCall := func(d time.Duration, s sample) float64 { return d.Seconds() / float64(s.calls) }
			rate = append(rate, g.rate()/p.rate())
			proxyRate = append(proxyRate, p.rate())
			cpu = append(cpu, perCall(g1-g0, g)/perCall(c1-c0, p))
			cpu1000 = append(cpu1000, 1000*perCall(g1-g0, g))
			allocs = append(allocs, (m1-m0)/float64(g.calls))
		}
		b.ReportMetric(median(rate), "rate/x")
		b.ReportMetric(median(cpu), "cpu/x")
		b.ReportMetric(median(cpu1000), "cpu-s/1000calls")
		b.ReportMetric(median(allocs), "allocs/call")
		b.ReportMetric(median(proxyRate), "plain-calls/s")
	}
}

// BenchmarkBigAnswer reports throughput against the plain proxy for answers of
// 1 MiB, and how many of either were cut short.
func BenchmarkBigAnswer(b *testing.B) {
	for _, tool := range []string{"big", "stream"} {
		b.Run(map[string]string{"big": "json", "stream": "sse"}[tool], func(b *testing.B) {
			backend := start(b, "backend", "")
			proxy := start(b, "reverseproxy", backend.addr)
			gw := startGateway(b, buildRecloser(b), replaceBackend(backend.addr))
			plain, ours := call(proxy.addr, "/mcp", tool), call(gw.addr, "/mcp", "fast_"+tool)
			b.ResetTimer()
			for range b.N {
				var ratio []float64
				var cut, plainCut int
				for range rounds {
					p := round(proxy.addr, plain, 4, time.Second, big)
					g := round(gw.addr, ours, 4, time.Second, big)
					if g.failed > 0 {
						b.Fatalf("%+v", g)
					}
					ratio = append(ratio, g.throughput()/p.throughput())
					cut += g.truncated
					plainCut += p.truncated
				}
				b.ReportMetric(median(ratio), "throughput/x")
				b.ReportMetric(float64(cut), "truncated")
				b.ReportMetric(float64(plainCut), "plain-truncated")
			}
		})
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
