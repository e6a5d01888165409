package plan

import "fmt"

// notes say where the ports are from, and what the sums leave out.
func notes(s *Scenario) []string {
	all := []string{s.Ports.sentence(&s.Preset)}
	if h := s.Ports.Host; h != nil && h.TimeWaitReuse {
		all = append(all, "tcp_tw_reuse is 1 here already: its row holds, where the other end uses TCP timestamps, too.")
	}
	all = append(all, "Counted as if this host always closes first: else TIME_WAIT, and its port, are the other end's.")
	if s.Sources > 1 || s.Destinations > 1 {
		all = append(all, "Counted as if connections spread evenly over source addresses and destinations.")
	}
	if s.Preset.windows() {
		return all
	}
	all = append(all, "Linux ends a TIME_WAIT up to 2 s late, so leave some room; no sysctl shortens it, not tcp_fin_timeout.")
	if s.Ports.Count > 1 {
		all = append(all, "In the slow half each connect() searches all ports of the first: milliseconds instead of microseconds.")
	}
	return all
}

// sentence says where the ports are from.
func (p *Ports) sentence(preset *Preset) string {
	ends := ""
	if p.Low > 0 {
		ends = fmt.Sprintf(", %d to %d", p.Low, p.High)
	}
	switch p.Basis {
	case FromPreset:
		return fmt.Sprintf("Ports: the default of %s%s.", preset.Name, ends)
	case FromHost:
		return "Ports: this host's range" + ends + p.Host.less() + "."
	case Assumed:
		return "Ports: Linux's default" + ends + ", for this host's range cannot be read: " + p.Why
	}
	return "Ports: as given" + ends + "."
}

// less says which ports of the range are left out.
func (h *HostPorts) less() string {
	if h.Blocked == nil {
		return fmt.Sprintf(", less %d reserved; who listens in it is not known", h.Reserved)
	}
	return fmt.Sprintf(", less %d reserved and %d that servers listen on", h.Reserved, *h.Blocked)
}
