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
		{"one_thread", load{threads: 1, connections: 16000, destinations: 1}, 0.92},
		{"two_threads", load{threads: 2, connections: 10000, destinations: 1}, 0.92},
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

	off, record []float64 // a pair each
	// share is what is left of the rate. cpu is the CPU time of a connection without tracing, divided by that with it,
	// the reader's included: nearly the same where nothing else runs, and still right where something does.
	share, cpu []float64
	lost       uint64
}

// measure makes one pair.
func (p *pairs) measure(b *testing.B) {
	var off generated
	first := len(p.share)%2 == 0
	if first {
		off = p.without(b)
	}
	ns := testnet.New(b)
	defer ns.Close()
	r := startReport(b, p.tcpstate)
	before := cpuTime(r.pid())
	on := p.load.run(b, ns)
	r.settle(b, ns)
	spent := cpuTime(r.pid()) - before
	d := r.stop(b)
	d.check(b, ns.Inode(), on.Connections, on.Connections)
	if !first {
		off = p.without(b)
	}
	p.off = append(p.off, off.rate())
	p.share = append(p.share, on.rate()/off.rate())
	p.cpu = append(p.cpu, off.cpu()/(on.cpu()+float64(spent)/float64(on.Connections)))
	p.record = append(p.record, float64(spent)/float64(d.Filter.Events))
	p.lost += d.lost()
}

func (p *pairs) without(b *testing.B) generated {
	ns := testnet.New(b)
	defer ns.Close() // its timewait sockets go with it
	return p.load.run(b, ns)
}

// report reports the medians. The reader's time for a record is bounded where records are many: at 1,000 connections a
// second it is the price of looking at an empty ring.
func (p *pairs) report(b *testing.B, minShare float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(p.off), "connections/s")
	b.ReportMetric(median(p.share), "share")
	b.ReportMetric(minShare, "share-min")
	b.ReportMetric(median(p.cpu), "cpu-share")
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
