package agent

import (
	"net"
	"strconv"

	"github.com/tcpstate/tcpstate/internal/report"
	"github.com/tcpstate/tcpstate/internal/service"
)

// Judgement is what the report of the last minutes says, as far as metrics have it.
type Judgement struct {
	Verdicts []Verdict
	Findings map[Finding]int
}

// Judge reads a report. At most as many verdicts as there are destinations are kept.
func Judge(d *report.Document, destinations int, workload func(*service.Service) Workload) Judgement {
	j := Judgement{Findings: make(map[Finding]int)}
	for i := range d.Findings {
		j.Findings[Finding{d.Findings[i].Severity, d.Findings[i].Code}]++
	}
	type judged struct {
		Labels
		verdict, kind, confidence string
	}
	told := make(map[judged]bool)
	for i := range d.Destinations {
		r := &d.Destinations[i]
		if r.Verdict.Name == nil || len(j.Verdicts) >= destinations {
			continue
		}
		v := Verdict{Labels: reported(r, workload), Verdict: *r.Verdict.Name, Kind: text(r.Verdict.Kind), Confidence: text(r.Verdict.Confidence)}
		once := judged{v.Labels, v.Verdict, v.Kind, v.Confidence}
		if told[once] { // in several network namespaces
			continue
		}
		told[once] = true
		p := pairs{base: v.Labels.pairs(workload != nil)}
		v.pairs = append(p.base, pairsOf("verdict", v.Verdict, "kind", v.Kind, "confidence", v.Confidence)...)
		sorted(v.pairs)
		j.Verdicts = append(j.Verdicts, v)
	}
	return j
}

// reported names the series of a row of a report: the same that labelsOf gives the row.
func reported(r *report.Destination, workload func(*service.Service) Workload) Labels {
	if a := r.Dst.Addr; a != nil && *a == Other {
		return Labels{Service: Other, Destination: Other}
	}
	l := Labels{Service: clean(r.Service.Name), Destination: service.KindUnknown}
	if a := r.Dst.Addr; a != nil {
		l.Destination = *a
		if p := r.Dst.Port; p != nil {
			l.Destination = net.JoinHostPort(*a, strconv.Itoa(int(*p)))
		}
	}
	if workload != nil {
		l.Workload = workload(&service.Service{
			Name: r.Service.Name, Kind: r.Service.Kind, Pod: r.Service.Pod, ContainerID: r.Service.ContainerID,
			Unit: r.Service.Unit, Cgroup: r.Service.Cgroup,
		})
	}
	l.Namespace, l.Pod, l.Container = clean(l.Namespace), clean(l.Pod), clean(l.Container)
	return l
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
