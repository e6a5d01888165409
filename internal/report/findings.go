package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tcpstate/tcpstate/internal/churn"
	"github.com/tcpstate/tcpstate/internal/event"
	"github.com/tcpstate/tcpstate/internal/form"
	"github.com/tcpstate/tcpstate/internal/verdict"
)

// The severities of a finding.
const (
	Critical = "critical"
	Warning  = "warning"
	Info     = "info"
)

// The codes of findings.
const (
	CodePortsExhausted    = "ports-exhausted"
	CodeTupleInUse        = "tuple-in-use"
	CodeConnectFailing    = "connect-failing"
	CodeUnpooled          = "unpooled"
	CodeUndersizedPool    = "undersized-pool"
	CodeTimeWaitOverflow  = "time-wait-overflow"
	CodeEventsLost        = "events-lost"
	CodeNoVerdict         = "no-verdict"
	CodeConnectStalled    = "connect-stalled"
	CodePortsRunningOut   = "ports-running-out"
	CodeConnectSlow       = "connect-slow-half-full"
	CodeBindBeforeConnect = "bind-before-connect"
	CodeBindNotLocal      = "bind-not-local"
	CodeCloseWaitLeak     = "close-wait-leak"
	CodeEstablishedLeak   = "established-leak"
	CodeTimeWaitInexact   = "time-wait-inexact"
	CodeFailingPartly     = "connect-failing-partly"
	CodeInboundChurn      = "inbound-churn"
	CodePoolNotSpared     = "pool-not-spared"
	CodeRestart           = "restart"
	CodeCaptureDamaged    = "capture-damaged"
)

// Codes returns all codes of findings.
func Codes() []string {
	return []string{
		CodePortsExhausted, CodeTupleInUse, CodeConnectFailing, CodeUnpooled, CodeUndersizedPool, CodeTimeWaitOverflow, CodeEventsLost,
		CodeNoVerdict, CodeConnectStalled, CodePortsRunningOut, CodeConnectSlow, CodeBindBeforeConnect, CodeBindNotLocal,
		CodeCloseWaitLeak, CodeEstablishedLeak, CodeTimeWaitInexact, CodeFailingPartly, CodeInboundChurn, CodePoolNotSpared,
		CodeRestart, CodeCaptureDamaged,
	}
}

// RunbookPages is where the pages of the runbook are: docs/runbook on the branch main, wherever a report was made. Codes
// keep their names, and a page that has become better helps with an old report, too. Alerts lead there as well.
const RunbookPages = "https://github.com/tcpstate/tcpstate/blob/main/docs/runbook"

// InstalledRunbook is where the packages put the same pages.
const InstalledRunbook = "/usr/share/doc/tcpstate/runbook"

// Runbook is the page about findings with a code.
func Runbook(code string) string { return RunbookPages + "/" + code + ".md" }

// CheckCode says whether findings have that code.
func CheckCode(code string) error {
	if !slices.Contains(Codes(), code) {
		return fmt.Errorf("\"%s\" is no code of a finding: it is one of %s", event.Printable(code), strings.Join(Codes(), ", "))
	}
	return nil
}

// stalled is when a connect has waited too long: the first SYN is sent again after 1 s (RFC 6298), the second after 3 s.
const stalled = 3

// maxFindings bounds the list; what it cuts off is counted.
const maxFindings = 100

// find collects the findings of the rows, which are in the order of harm, and of the budgets, tightest first.
func (d *Document) find(w churn.Window) {
	for i := range d.Destinations {
		d.findIn(&d.Destinations[i], d.Destinations[i].port)
		d.findLeaks(&d.Destinations[i])
	}
	for i := range d.Ports {
		d.findInPorts(&d.Ports[i])
	}
	for i := range d.BindFailures {
		d.findBindFailure(&d.BindFailures[i])
	}
	d.findInboundChurn()
	d.findInexact()
	d.findDamage()
	d.findLoss()
	d.findNoVerdict(w)
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return cmp.Compare(weight(a.Severity), weight(b.Severity)) })
	if n := len(d.Findings); n > maxFindings {
		d.FindingsOmitted += n - maxFindings
		d.Findings = d.Findings[:maxFindings]
	}
}

// found adds a finding.
func (d *Document) found(f Finding) {
	d.findings[weight(f.Severity)]++
	f.Runbook = Runbook(f.Code)
	d.Findings = append(d.Findings, f)
}

// wants reports whether one more finding of a severity could be among those that are shown; else it is counted, and need
// not be put into words.
func (d *Document) wants(severity string) bool {
	n := 0
	for w, count := range d.findings {
		if w <= weight(severity) {
			n += count
		}
	}
	if n < maxFindings {
		return true
	}
	d.FindingsOmitted++
	return false
}

// findNoVerdict says why nothing is judged, lest a short trace look like a healthy host.
func (d *Document) findNoVerdict(w churn.Window) {
	why := verdict.Withheld(w)
	if why == "" || !slices.ContainsFunc(d.Destinations, func(r Destination) bool { return r.Direction == event.Outbound.String() }) {
		return
	}
	d.found(Finding{
		Severity: Info, Code: CodeNoVerdict, Summary: "Nothing is judged: " + why + ".",
		Evidence: []string{}, Advice: []string{"trace for 10 s or longer, and filter by who and where only."},
	})
}

func weight(severity string) int { return slices.Index([]string{Critical, Warning, Info}, severity) }

// findIn collects the findings of one row, which draws on the budget p; nil where that is not known.
func (d *Document) findIn(r *Destination, p *Port) {
	who, where, seconds := r.Service.Name, r.place(), d.Window.length()
	evidence, advice := r.Verdict.Evidence, r.Verdict.Advice
	add := func(severity, code, summary string) {
		d.found(Finding{
			Severity: severity, Code: code, Service: who, Destination: where, Summary: summary, Evidence: evidence, Advice: advice,
		})
	}
	if n := r.harm.portsExhausted; n > 0 {
		if d.wants(Critical) {
			if p != nil {
				evidence, advice = slices.Concat(p.since(), p.facts(), evidence), p.exhaustedAdvice(advice)
			}
			add(Critical, CodePortsExhausted, fmt.Sprintf("%s ran out of local ports toward %s: %s failed with EADDRNOTAVAIL.", who, where, form.Count(n, "connect")))
		}
		evidence, advice = r.Verdict.Evidence, r.Verdict.Advice
		evidence, advice = evidence[:min(1, len(evidence))], advice[min(1, len(advice)):min(2, len(advice))] // the rest is said
	}
	if n := r.harm.tupleInUse; n > 0 && d.wants(Warning) {
		add(Warning, CodeTupleInUse, fmt.Sprintf("%s binds to local ports that are in use toward %s: %s failed with EADDRNOTAVAIL.", who, where, form.Count(n, "connect")))
	}
	if f := r.verdictFinding(seconds); f.say != nil && d.wants(f.severity) {
		add(f.severity, f.code, f.say())
	}
	if r.Open.Oldest != nil && *r.Open.Oldest >= stalled && d.wants(Warning) {
		evidence, advice = []string{}, []string{"look at the way to the destination: a firewall that drops, a route that leads nowhere, a host that is down."}
		add(Warning, CodeConnectStalled, fmt.Sprintf("%s waits for an answer from %s: %s under way, the oldest for %.1f s.", who, where, form.Count(r.Open.Connecting, "connect"), float64(*r.Open.Oldest)))
	}
	if n := r.TimeWait.Overflowed; n > 0 && d.wants(Warning) {
		if p != nil && p.figures.Settings != nil {
			evidence = []string{fmt.Sprintf("net.ipv4.tcp_max_tw_buckets is %d", p.figures.Settings.MaxTimeWait)}
		}
		add(Warning, CodeTimeWaitOverflow, fmt.Sprintf("%s due toward %s (%s) were not made: net.ipv4.tcp_max_tw_buckets is reached, or memory is short.", form.Count(n, "TIME_WAIT socket"), where, who))
	}
}

// exhaustedAdvice says better what the host can do, where a setting would help.
func (p *Port) exhaustedAdvice(advice []string) []string {
	if setting := p.settingAdvice(); len(setting) > 0 {
		return slices.Concat(advice[:max(len(advice)-1, 0)], setting)
	}
	return advice
}

// findInexact says how far TIME_WAIT is from what the kernel says, when it is not known exactly.
func (d *Document) findInexact() {
	t := d.TimeWait
	if t == nil || t.Exact {
		return
	}
	d.found(Finding{
		Severity: Info, Code: CodeTimeWaitInexact, Summary: "TIME_WAIT figures are approximate: " + t.difference() + ".",
		Evidence: []string{t.tier(), t.checked()}, Advice: []string{},
	})
}

func (d *Document) findLoss() {
	l := &d.Loss
	if l.EventsLost == 0 && (l.TotalsExact || l.Capture != nil) { // the latter is said already
		return
	}
	f := Finding{
		Severity: Info, Code: CodeEventsLost, Evidence: []string{l.sentence()},
		Summary: fmt.Sprintf("The details of %s were lost; the totals count them.", form.Count(l.EventsLost, "event")),
		Advice:  []string{"use a larger ring buffer: --ring 32M."},
	}
	if !l.TotalsExact {
		f.Severity, f.Summary = Warning, "Some of what happened was not seen: the totals are not exact."
	}
	d.found(f)
}
