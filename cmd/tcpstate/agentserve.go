package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tcpstate/tcpstate/internal/agent"
	"github.com/tcpstate/tcpstate/internal/kube"
	"github.com/tcpstate/tcpstate/internal/service"
)

// maxConnections bounds those of each address.
const maxConnections = 64

// serve listens on all addresses, or on the sockets that systemd has opened, and answers. stop ends that.
func (d *daemon) serve(site *agent.Site) (stop func(), err error) {
	listeners, err := d.listen()
	if err != nil {
		return nil, err
	}
	server := site.Server()
	var names []string
	for _, l := range listeners {
		names = append(names, address(l))
		if agent.Exposed(l.Addr()) {
			d.log.Warn("everybody who can reach " + address(l) + " can read the metrics and reports of this host")
		}
		go func() {
			if err := server.Serve(agent.Bound(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
				d.log.Error("serve on " + address(l) + ": " + err.Error())
			}
		}()
	}
	d.serving = strings.Join(names, ", ")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}, nil
}

func address(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func (d *daemon) listen() ([]net.Listener, error) {
	all, err := agent.Activated()
	if err != nil || len(all) > 0 {
		return all, err
	}
	for _, a := range d.flags.listen.values {
		l, err := agent.Listen(a)
		if err != nil {
			for _, open := range all {
				_ = open.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (d *daemon) pushOptions() agent.PushOptions {
	name, _ := thisHost()
	return agent.PushOptions{
		Endpoint: d.flags.otlpEndpoint.value(), Interval: d.flags.otlpInterval.Duration, Version: version, Host: name,
		Failed: func(err error) { d.log.Warn(err.Error()) },
	}
}

// askKubernetes finds the names of pods and containers, where the agent runs in a pod itself.
func (d *daemon) askKubernetes(ctx context.Context) {
	o, ok := kube.FromEnvironment(os.Getenv)
	if !ok {
		return
	}
	r, err := kube.New(o)
	if err != nil {
		d.log.Warn("pods are known by their ids only: " + err.Error())
		return
	}
	go r.Run(ctx)
	d.workload = func(s *service.Service) (w agent.Workload) {
		w.Namespace, w.Pod, w.Container, _ = r.Pod(s.Pod, s.ContainerID)
		return w
	}
}

// change is a configuration that was read while it runs.
type change struct {
	flags *agentFlags // nil: it is wrong
	at    time.Time
}

// reloads reads the configuration at each SIGHUP, until ctx ends.
func (d *daemon) reloads(ctx context.Context, hups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hups:
			d.manager.Reloading()
			d.changed.Store(d.reread())
		}
	}
}

// reread reads the configuration again, and says what is wrong with it.
func (d *daemon) reread() *change {
	c := &change{at: time.Now()}
	if d.config == "" {
		d.log.Info("SIGHUP: there is no configuration to be read again (--config)")
	}
	f, err := loadAgent(d.given, d.config)
	if err == nil {
		c.flags = f
		return c
	}
	var all agent.Mistakes
	if !errors.As(err, &all) {
		all = agent.Mistakes{{Text: err.Error()}}
	}
	for _, m := range all {
		d.log.Error(d.config + ": " + m.String())
	}
	d.log.Error("the configuration stays as it was")
	return c
}

// adopt takes over a configuration that was read, as far as it can change.
func (d *daemon) adopt() {
	c := d.changed.Swap(nil)
	if c == nil {
		return
	}
	d.reload.OK = c.flags != nil
	if c.flags != nil {
		d.reload.At = c.at
		d.apply(c.flags)
	}
	d.manager.Ready(d.status())
}

func (d *daemon) apply(f *agentFlags) {
	now, later := f.changes(d.flags)
	if len(later) > 0 {
		d.log.Warn("the configuration was read again; these take a restart: " + strings.Join(later, ", "))
	}
	if len(now) > 0 {
		d.log.Info("the configuration was read again; changed: " + strings.Join(now, ", "))
	}
	d.windows.SetLength(f.window.Duration)
	d.flight.adjust(&f.record)
	if d.flight.recent == nil && d.flight.judges() {
		d.flight.recent = d.windows.Table(d.clock()).Next(d.clock())
	}
	for _, name := range now { // what takes a restart stays as it is
		copyFlag(d.flags.set.Lookup(name), f.set.Lookup(name))
	}
}

// onHangUp returns a channel that gets a value at SIGHUP.
func onHangUp() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
