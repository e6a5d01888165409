package agent

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Systemd tells the service manager how it goes, if there is one (sd_notify(3)). Nothing waits for it.
type Systemd struct{}

// Ready says that it is at work, with a line of status.
func (Systemd) Ready(status string) { notify(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// Status says how it goes.
func (Systemd) Status(status string) { notify("STATUS=" + status) }

// Reloading says that the configuration is read again. Ready follows.
func (Systemd) Reloading() {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, t.Nano()/1000))
}

// Stopping says that it ends.
func (Systemd) Stopping() { notify(daemon.SdNotifyStopping) }

func notify(what string) { _, _ = daemon.SdNotify(false, what) }

// Watch tells the watchdog as long as the tracing goroutine is at work, until ctx ends. It returns at once where nobody
// watches.
func (Systemd) Watch(ctx context.Context, state *State) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil || within <= 0 {
		return
	}
	tick := time.NewTicker(within / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if state.Silent(now) < within/2 {
				notify(daemon.SdNotifyWatchdog)
			}
		}
	}
}

// Activated are the sockets that systemd listens on for us.
func Activated() ([]net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take over sockets: %w", err)
	}
	var usable []net.Listener
	for _, l := range all {
		if l == nil {
			return nil, fmt.Errorf("take over sockets: one of them does not listen on TCP or a Unix socket")
		}
		usable = append(usable, l)
	}
	return usable, nil
}
