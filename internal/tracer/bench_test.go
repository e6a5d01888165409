package tracer

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/filter"
	"github.com/tcpstate/tcpstate/internal/service"
	"github.com/tcpstate/tcpstate/internal/testnet"
)

// BenchmarkProgram compares the mean run times of the program and its further copies with that of an empty one on the
// same hook, all attached at once, over all transitions of loopback connections. One operation is 1,000 connections.
// About 60 ns of each time are the measuring itself, so the sum counts them once a copy.
func BenchmarkProgram(b *testing.B) {
	testnet.RequireTracing(b)
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	t := openIdle(b, Options{})
	programs := append([]*ebpf.Program{emptyProgram(b)}, t.copies...)
	ns := testnet.New(b)
	connect(b, ns, 1000)
	var empty, first, further, firstRatio, ratio []float64
	for b.Loop() {
		before := runs(b, programs)
		connect(b, ns, 1000)
		mean := meanRuns(before, runs(b, programs))
		copies := 0.0
		for _, ns := range mean[2:] {
			copies += ns
		}
		empty, first, further = append(empty, mean[0]), append(first, mean[1]), append(further, copies)
		firstRatio, ratio = append(firstRatio, mean[1]/mean[0]), append(ratio, (mean[1]+copies)/mean[0])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(empty), "empty-ns")
	b.ReportMetric(median(first), "first-ns")
	b.ReportMetric(median(further), "further-ns")
	b.ReportMetric(median(firstRatio), "first-ratio")
	b.ReportMetric(median(ratio), "ratio")
	b.ReportMetric(4, "ratio-max")
}

// openIdle opens a tracer whose records are read and thrown away.
func openIdle(b *testing.B, o Options) *Tracer {
	b.Helper()
	t, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = t.Close() })
	idle(b, t)
	return t
}

// idle reads t's records and throws them away.
func idle(b *testing.B, t *Tracer) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- t.Run(ctx, func(*event.Event) {}) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

func emptyProgram(b *testing.B) *ebpf.Program {
	b.Helper()
	p := mustLoad(b, &ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "inet_sock_set_state", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return p
}

func mustLoad(b *testing.B, spec *ebpf.ProgramSpec) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p
}

// connect makes n connections of ten transitions each, closed by the client first.
func connect(b *testing.B, ns *testnet.Namespace, n int) {
	ns.Do(b, func() {
		l := testnet.Listen(testnet.Server, 0) // another port each time, so that those to connect from last
		defer l.Close()
		for range n {
			c := testnet.Dial(l.Local)
			d := l.Accept()
			c.Close()
			d.Close()
		}
	})
}

func runs(b *testing.B, programs []*ebpf.Program) []ebpf.ProgramStats {
	b.Helper()
	all := make([]ebpf.ProgramStats, len(programs))
	for i, p := range programs {
		s, err := p.Stats()
		if err != nil {
			b.Fatal(err)
		}
		all[i] = *s
	}
	return all
}

// meanRuns is the mean run time in between, in nanoseconds.
func meanRuns(before, after []ebpf.ProgramStats) []float64 {
	means := make([]float64, len(before))
	for i := range means {
		means[i] = float64(after[i].Runtime-before[i].Runtime) / float64(after[i].RunCount-before[i].RunCount)
	}
	return means
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// BenchmarkOpen is how long it takes until tracing has begun, and to undo that: the verifier's work, nearly all.
func BenchmarkOpen(b *testing.B) {
	testnet.RequireTracing(b)
	for b.Loop() {
		t, err := Open(Options{})
		if err == nil {
			err = t.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms-to-open")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCensus is how long a census takes where many TIME_WAITs are held, before the window (the first one, which
// announces all) and within it, and the memory that they take in the kernel and in the figures of a report.
func BenchmarkCensus(b *testing.B) {
	testnet.RequireTracing(b)
	for _, bc := range []struct {
		held      int
		limit     float64 // milliseconds
		needsMiB  uint64  // free
		memoryMax float64 // MiB
	}{
		{30_000, 50, 1 << 9, 0},
		{300_000, 500, 1 << 11, 64},
	} {
		b.Run(strconv.Itoa(bc.held), func(b *testing.B) {
			if free := freeMiB(b); free < bc.needsMiB {
				b.Skipf("%d MiB free, want %d", free, bc.needsMiB)
			}
			ns := testnet.New(b)
			defer ns.Close()
			holdTimeWaits(b, ns, bc.held)
			var first, again []float64
			var kernel, heap float64
			for b.Loop() {
				c := takeCensus(b, ns.Inode(), bc.held)
				first, again = append(first, c.first), append(again, c.again)
				kernel, heap = max(kernel, c.kernel), max(heap, c.heap)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(first), "first-ms")
			b.ReportMetric(bc.limit, "first-ms-max")
			b.ReportMetric(median(again), "ms")
			b.ReportMetric(bc.limit, "ms-max")
			if bc.memoryMax > 0 {
				b.ReportMetric(kernel, "map-MiB")
				b.ReportMetric(bc.memoryMax, "map-MiB-max")
				b.ReportMetric(heap, "heap-MiB")
				b.ReportMetric(bc.memoryMax, "heap-MiB-max")
			}
		})
	}
}

// census is what one has cost.
type census struct{ first, again, kernel, heap float64 } // milliseconds and MiB

// takeCensus takes two with a new tracer, whose figures go where those of a report go.
func takeCensus(b *testing.B, netns uint32, held int) (c census) {
	b.Helper()
	t, err := Open(Options{Tier: TierTimers, TimerCost: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	p := newPipeline(nil)
	seen := 0
	before := heapMiB()
	began := time.Now()
	err = t.firstCensus(func(e *event.Event) {
		if e.Netns == netns && e.Kind == event.Existing {
			seen++
		}
		p.emit(e)
	})
	c.first = milliseconds(time.Since(began))
	c.heap = heapMiB() - before
	if err != nil || seen != held {
		b.Fatalf("%d of %d seen, %v", seen, held, err)
	}
	c.kernel = mapMiB(b, t.maps.Timewaits)
	began = time.Now()
	if err := t.census(p.emit); err != nil {
		b.Fatal(err)
	}
	c.again = milliseconds(time.Since(began))
	runtime.KeepAlive(p)
	return c
}

// BenchmarkRound is what it costs to tell how all open connections have been used, with the figures of a report, and how
// long events wait in the ring for a step of it, which ask for 20 ms.
func BenchmarkRound(b *testing.B) {
	testnet.RequireTracing(b)
	for _, sockets := range []int{0, 1_000, 100_000} {
		b.Run(strconv.Itoa(sockets), func(b *testing.B) {
			holdOpen(b, testnet.New(b), sockets)
			t, err := Open(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer t.Close()
			p := newPipeline(nil)
			testnet.Must(t.firstCensus(p.emit))
			var took, wait []float64
			before := heapMiB()
			for b.Loop() {
				r, longest := roundOf(b, t, p.emit)
				if r.Told < uint64(sockets) {
					b.Fatalf("%d of %d told", r.Told, sockets)
				}
				took, wait = append(took, milliseconds(r.Took)), append(wait, milliseconds(longest))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(took), "cpu-ms")
			b.ReportMetric(median(wait), "step-ms")
			b.ReportMetric(heapMiB()-before, "MiB")
			runtime.KeepAlive(p)
		})
	}
}

// roundOf makes a round, and tells how long its longest step was.
func roundOf(b *testing.B, t *Tracer, emit func(*event.Event)) (r *Round, longest time.Duration) {
	b.Helper()
	for r == nil {
		began := time.Now()
		var err error
		if r, err = t.Progress(20*time.Millisecond, emit); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(began))
	}
	return r, longest
}

// holdOpen keeps so many sockets open, both ends of half as many connections, which processes of their own open.
func holdOpen(b *testing.B, ns *testnet.Namespace, sockets int) {
	b.Helper()
	const each = 10_000 // sockets of a process
	for i := 0; i < sockets; i += each {
		ns.Do(b, func() {
			testnet.Sysctl("net.core.somaxconn", "65535")
			l := testnet.Listen(testnet.Server, uint16(7100+i/each))
			b.Cleanup(func() { ns.Do(b, l.Close) })
			kid := testnet.StartChild("hold", []string{l.Local.String(), strconv.Itoa(min(each, sockets) / 2)})
			kid.Line()
			b.Cleanup(func() { ns.Do(b, kid.Kill) })
		})
	}
}

// holdTimeWaits leaves so many, toward as few ports of the server as keep connect() fast: past half of the range it
// searches long.
func holdTimeWaits(b *testing.B, ns *testnet.Namespace, n int) {
	b.Helper()
	ns.Do(b, func() {
		testnet.Sysctl("net.ipv4.tcp_max_tw_buckets", strconv.Itoa(2*n))
		testnet.Sysctl("net.ipv4.tcp_tw_reuse", "0")
	})
	const fast = 12_000
	for left := n; left > 0; left -= fast {
		connect(b, ns, min(left, fast))
	}
	ns.Do(b, func() {
		testnet.Until("all to be in TIME_WAIT", func() bool { return testnet.ReadSockstat().TimeWait >= n })
	})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func heapMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / (1 << 20)
}

func freeMiB(b *testing.B) uint64 {
	b.Helper()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		b.Fatal(err)
	}
	return uint64(info.Freeram) * uint64(info.Unit) >> 20
}

// mapMiB is the memory of a map as fdinfo shows it: since 6.4 what it takes now, before what it could take.
func mapMiB(b *testing.B, m *ebpf.Map) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(m.FD()))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "memlock:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	if err != nil {
		b.Fatalf("memory of a map: %v", err)
	}
	return float64(n) / (1 << 20)
}

// BenchmarkTimers is what following TIME_WAIT costs a connection where functions cannot be hooked: the hooks that run
// for every timer, and looking the new timewait socket up and remembering it. What an empty program takes in their
// place, which is the measuring mostly, is subtracted.
func BenchmarkTimers(b *testing.B) {
	testnet.RequireTracing(b)
	const connections = 1000
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	with := openIdle(b, Options{Tier: TierTimers, TimerCost: 1})
	without := openLocked(b, TierCensus) // looks nothing up
	idle(b, without)
	programs := []*ebpf.Program{
		emptyProgram(b), with.copies[0], without.copies[0], with.timers.cancel, with.timers.start,
	}
	ns := testnet.New(b)
	connect(b, ns, connections)
	var timers, runsEach, lookup []float64
	for b.Loop() {
		before := runs(b, programs)
		connect(b, ns, connections)
		after := runs(b, programs)
		empty := meanRuns(before[:1], after[:1])[0]
		cost := func(i int) (ns, times float64) {
			times = float64(after[i].RunCount - before[i].RunCount)
			return (float64(after[i].Runtime-before[i].Runtime) - times*empty) / connections, times / connections
		}
		cancel, canceled := cost(3)
		start, started := cost(4)
		main, _ := cost(1)
		less, _ := cost(2)
		timers, runsEach, lookup = append(timers, cancel+start), append(runsEach, canceled+started), append(lookup, main-less)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(runsEach), "timers/connection")
	b.ReportMetric(median(timers), "timers-ns/connection")
	b.ReportMetric(median(lookup), "lookup-ns/connection")
	b.ReportMetric(median(timers)+median(lookup), "ns/connection")
}

// The two benchmarks of the user side do the same with records, once from memory and once from a ring. One operation is
// records of them.
const records = 1 << 15

// maxRecordNS is the limit: CPU time of one record from the ring to the aggregated figure, in nanoseconds.
const maxRecordNS = 150

// BenchmarkAggregate decodes and aggregates records. It allocates nothing.
func BenchmarkAggregate(b *testing.B) {
	for _, destinations := range []int{1, 50, 1000} {
		b.Run(strconv.Itoa(destinations), func(b *testing.B) {
			raw := sampleRecords(destinations)
			p := newPipeline(nil)
			p.aggregate(b, raw)
			b.ReportAllocs()
			p.bench(b, func() { p.aggregate(b, raw) })
			b.ReportMetric(0, "allocs/op-max")
		})
	}
}

// BenchmarkRead does so with records from a ring that a BPF program fills, by the very loop that reads the trace.
func BenchmarkRead(b *testing.B) {
	testnet.RequireTracing(b)
	for _, destinations := range []int{1, 50, 1000} {
		b.Run(strconv.Itoa(destinations), func(b *testing.B) {
			f := newFiller(b, sampleRecords(destinations))
			p := newPipeline(f.reader)
			f.fill(b)
			p.read(b)
			p.bench(b, func() {
				b.StopTimer()
				f.fill(b)
				b.StartTimer()
				p.read(b)
			})
			if p.seen%records != 0 {
				b.Errorf("%d records came, want a multiple of %d", p.seen, records)
			}
		})
	}
}

// pipeline is what verb report does with a record.
type pipeline struct {
	tracer   Tracer
	services *service.Resolver
	filter   *filter.Set
	table    *churn.Table
	event    event.Event
	seen     int
	spent    time.Duration // by this thread: what else the machine does is no matter
}

func newPipeline(r *ringbuf.Reader) *pipeline {
	return &pipeline{
		tracer: Tracer{reader: r}, services: service.NewResolver(service.Options{Offline: true}), filter: &filter.Set{},
		table: churn.New(churn.Options{}),
	}
}

func (p *pipeline) emit(e *event.Event) {
	p.seen++
	if p.filter.Match(e, p.services.See(&e.Owner)) {
		p.table.Observe(e)
	}
}

func (p *pipeline) aggregate(b *testing.B, raw []byte) {
	began := threadTime()
	for ; len(raw) > 0; raw = raw[recordSize:] {
		if err := p.tracer.decode(raw[:recordSize], &p.event); err != nil {
			b.Fatal(err)
		}
		p.emit(&p.event)
	}
	p.spent += threadTime() - began
}

// read reads the ring until it is empty.
func (p *pipeline) read(b *testing.B) {
	began := threadTime()
	if err := errors.Join(p.tracer.reader.Flush(), p.tracer.read(p.emit)); err != nil {
		b.Fatal(err)
	}
	p.spent += threadTime() - began
}

func (p *pipeline) bench(b *testing.B, op func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.seen, p.spent = 0, 0
	for b.Loop() {
		op()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(p.spent)/float64(p.seen), "ns/record")
	b.ReportMetric(maxRecordNS, "ns/record-max")
}

// sampleRecords are the records of connections to each destination in turn, both ends on this host: connect, accept,
// close and time_wait.
func sampleRecords(destinations int) []byte {
	raw := make([]byte, 0, records*recordSize)
	for i := range records {
		r := sampleRecord(i/4, destinations)
		switch i % 4 {
		case 0:
			r.Kind, r.OldState, r.NewState = uint8(event.Connect), uint8(event.SynSent), uint8(event.Established)
		case 1:
			r.Kind, r.OldState, r.NewState = uint8(event.Accept), uint8(event.SynRecv), uint8(event.Established)
		case 2:
			r.Kind, r.OldState, r.NewState = uint8(event.Close), uint8(event.LastAck), uint8(event.Closed)
			r.ClosedBy, r.Flags = uint8(event.ClosedRemote), flagCounted
		case 3:
			r.Kind, r.OldState, r.NewState = uint8(event.TimeWait), uint8(event.FinWait2), uint8(event.TimeWait)
			r.ClosedBy, r.Flags = uint8(event.ClosedLocal), flagCounted
		}
		if i%4 == 1 || i%4 == 2 {
			r.Direction, r.Src, r.Dst, r.Sport, r.Dport = uint8(event.Inbound), r.Dst, r.Src, r.Dport, r.Sport
			r.Owner.Pid, r.Owner.Comm, r.Owner.Basis = 200, [16]uint8{'s', 'e', 'r', 'v', 'e', 'r'}, uint8(event.OwnerListener)
		}
		raw = append(raw, unsafe.Slice((*byte)(unsafe.Pointer(&r)), recordSize)...)
	}
	return raw
}

// sampleRecord is what all records of one connection have in common, seen from the end that connected.
func sampleRecord(connection, destinations int) (r bpfEvent) {
	to := connection % destinations
	r.Direction = uint8(event.Outbound)
	r.StartNs = uint64(1+connection) * 1e5
	r.EstablishedNs = r.StartNs + 30e3 + uint64(connection%7)*1e3
	r.TimeNs = r.EstablishedNs + 1e6 + uint64(connection%11)*1e5
	r.Owner.CgroupId, r.Owner.Pid, r.Owner.Basis = 4242, 100, uint8(event.OwnerConnect)
	r.Owner.Comm = [16]uint8{'c', 'l', 'i', 'e', 'n', 't'}
	r.SentBytes, r.ReceivedBytes, r.DataSegsOut, r.DataSegsIn = 100, 5000, 1, 4
	r.Src = netip.AddrFrom4([4]byte{10, 0, 0, 1}).As16()
	r.Dst = netip.AddrFrom4([4]byte{10, 1, byte(to >> 8), byte(to)}).As16()
	r.Netns, r.Sport, r.Dport = 4026531840, uint16(32768+connection%28232), 5432
	return r
}

// filler fills a ring with records, without wake-ups.
type filler struct {
	program *ebpf.Program
	reader  *ringbuf.Reader
}

func newFiller(b *testing.B, raw []byte) filler {
	b.Helper()
	ring := mustMap(b, &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: DefaultRingBytes})
	next := mustMap(b, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	samples := mustMap(b, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(recordSize), MaxEntries: records})
	for i := range uint32(records) {
		if err := samples.Put(i, raw[int(i)*recordSize:][:recordSize]); err != nil {
			b.Fatal(err)
		}
	}
	const noWakeup = 1 // BPF_RB_NO_WAKEUP
	f := filler{program: mustLoad(b, &ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: asm.Instructions{
		// i := next++ % records
		asm.LoadMapValue(asm.R1, next.FD(), 0),
		asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord),
		asm.Mov.Reg(asm.R7, asm.R6),
		asm.Add.Imm(asm.R7, 1),
		asm.StoreMem(asm.R1, 0, asm.R7, asm.DWord),
		asm.And.Imm(asm.R6, records-1),
		// output(ring, lookup(samples, &i))
		asm.StoreMem(asm.RFP, -4, asm.R6, asm.Word),
		asm.LoadMapPtr(asm.R1, samples.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.LoadMapPtr(asm.R1, ring.FD()),
		asm.Mov.Imm(asm.R3, int32(recordSize)),
		asm.Mov.Imm(asm.R4, noWakeup),
		asm.FnRingbufOutput.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	}})}
	var err error
	if f.reader, err = ringbuf.NewReader(ring); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.reader.Close() })
	return f
}

func (f filler) fill(b *testing.B) {
	b.Helper()
	packet := make([]byte, 64)
	if _, err := f.program.Run(&ebpf.RunOptions{Data: packet, Repeat: records}); err != nil {
		b.Fatal(err)
	}
}

func mustMap(b *testing.B, spec *ebpf.MapSpec) *ebpf.Map {
	b.Helper()
	m, err := ebpf.NewMap(spec)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	return m
}
