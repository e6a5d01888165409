package plan

import (
	"fmt"
	"strings"
	"time"
)

// Preset is what a system does unless it is told otherwise.
type Preset struct {
	Name     string
	TimeWait time.Duration
	Ports    Ports
	// wider and delay are how Windows gets more ports, and a shorter TIME_WAIT. "": it is Linux.
	wider, delay string
}

// linux: TCP_TIMEWAIT_LEN in include/net/tcp.h, and inet_init_net in net/ipv4/af_inet.c.
var linux = Preset{Name: "linux", TimeWait: 60 * time.Second, Ports: preset(portRange(32768, 60999))}

var presets = []Preset{
	linux,
	// TcpTimedWaitDelay 240 and MaxUserPort 5000 are the defaults of Windows Server 2003 and XP.
	{
		Name: "windows-2003", TimeWait: 240 * time.Second, Ports: preset(Ports{Count: 5000}),
		wider: "MaxUserPort=65534", delay: "TcpTimedWaitDelay=30",
	},
	// Since Vista and Server 2008 the dynamic ports are those of IANA (RFC 6335), and TIME_WAIT is 120 s.
	{
		Name: "windows", TimeWait: 120 * time.Second, Ports: preset(portRange(49152, 65535)),
		wider: "dynamicport start=1025 num=64510", delay: "TcpTimedWaitDelay=30",
	},
}

// What Windows can be told: ports 1025 to 65534, and 30 s, the least that Windows Server 2003 takes.
const (
	windowsWidest = 65534 - 1025 + 1
	windowsDelay  = 30 * time.Second
)

func preset(p Ports) Ports {
	p.Basis = FromPreset
	return p
}

// PresetNames are the presets there are.
func PresetNames() []string {
	names := make([]string, len(presets))
	for i := range presets {
		names[i] = presets[i].Name
	}
	return names
}

// ParsePreset finds a preset by its name.
func ParsePreset(name string) (Preset, error) {
	for _, p := range presets {
		if p.Name == name {
			return p, nil
		}
	}
	return Preset{}, fmt.Errorf("unknown preset %q: it is one of %s", name, strings.Join(PresetNames(), ", "))
}

// windows says whether the remedies are those of Windows.
func (p *Preset) windows() bool { return p.wider != "" }

// slowHalf says whether connect() goes through the ports by parity.
func (p *Preset) slowHalf() bool { return !p.windows() }
