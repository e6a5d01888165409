package bench

import (
	"slices"
	"testing"

	"github.com/tcpstate/tcpstate/internal/testnet"
)

// BenchmarkThroughput is what tracing takes away from a host that does nothing but connect. One operation is a pair: a
// run with tracing and one without, the first of which comes second next time. The more pairs, the better the medians:
// -benchtime 9x.
func BenchmarkThroughput(b *testing.B) {
	for _, bc := range []struct {
		name     string
		load     load
		minShare float64
	}{
		{"one_thread", load{threads: 1, connections: 8000, destinations: 1}, 0.92},
		{"two_threads", load{threads: 2, connections: 6000, destinations: 1}, 0.92},
		{"1000_a_second", load{threads: 1, connections: 1200, destinations: 1, rate: 1000}, 0.99},
	} {
		b.Run(bc.name, func(b *testing.B) {
			testnet.RequireTracing(b)
			p := pairs{load: bc.load, tcpstate: build(b)}
			for b.Loop() {
				p.measure(b)
			}
			p.report(b, bc.minShare)
		})
	}
}

// pairs are the runs so far.
type pairs struct {
	load     load
	tcpstate string

	off, share, cpu, record []float64 // a pair each
	lost                    uint64
}

// measure makes one pair.
func (p *pairs) measure(b *testing.B) {
	var off generated
	if first := len(p.share)%2 == 0; first {
		off = p.load.run(b, testnet.New(b))
	}
	ns := testnet.New(b)
	r := startReport(b, p.tcpstate)
	before := cpuTime(r.pid())
	on := p.load.run(b, ns)
	r.settle()
	spent := cpuTime(r.pid()) - before
	d := r.stop(b)
	d.check(b, ns.Inode(), on.Connections, on.Connections)
	if off.Connections == 0 {
		off = p.load.run(b, testnet.New(b))
	}
	p.off = append(p.off, off.rate())
	p.share = append(p.share, on.rate()/off.rate())
	p.cpu = append(p.cpu, on.cpu()/off.cpu())
	p.record = append(p.record, float64(spent)/float64(d.Filter.Events))
	p.lost += d.lost()
}

// report reports the medians. The reader's time for a record is bounded where records are many: at 1,000 connections a
// second it is the price of looking at an empty ring.
func (p *pairs) report(b *testing.B, minShare float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(p.off), "connections/s")
	b.ReportMetric(median(p.share), "share")
	b.ReportMetric(minShare, "share-min")
	b.ReportMetric(median(p.cpu), "cpu-ratio")
	b.ReportMetric(median(p.record), "reader-ns/record")
	if p.load.rate == 0 {
		b.ReportMetric(150, "reader-ns/record-max")
	}
	b.ReportMetric(float64(p.lost), "lost")
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
