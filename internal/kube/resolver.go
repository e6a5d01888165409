// Package kube says which pod and container something runs in, by name: cgroups have only their ids.
//
// It asks the API server for the pods of one node and watches them, or asks that node's kubelet now and then. It can
// read pods and nothing else, holds a bounded number of them, and writes nothing.
package kube

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Options say whom to ask, and as whom.
type Options struct {
	// Server is the API server's URL, https://HOST:PORT. It is asked for the pods of Node, which must be set.
	Server string
	Node   string // the node's name
	// Kubelet is the URL of the node's kubelet, https://HOST:10250. When set, it is asked instead of the API server.
	Kubelet string

	TokenFile string // the service account's token, read anew for each request; default where Kubernetes mounts it
	CAFile    string // who may sign the server's certificate; default where Kubernetes mounts it

	MaxPods int // how many pods are remembered, default 1024: a node has 110 by default, 500 at most are usual

	pace pace // of tests
}

// pace is how often things are done. Zero values mean the defaults.
type pace struct {
	retry, maxRetry time.Duration // how long to wait after the first failure, and at most
	poll, minPoll   time.Duration // how often the kubelet is asked, and at most how often when a container is not known
	watch           time.Duration // how long one watch lasts
	keep            time.Duration // how long a pod that is gone is remembered
}

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// FromEnvironment returns the options for a process in a pod; ok is false elsewhere. The node's name must have been
// given to it as NODE_NAME (from the field spec.nodeName).
func FromEnvironment(getenv func(string) string) (o Options, ok bool) {
	host, port, node := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT"), getenv("NODE_NAME")
	if host == "" || port == "" || node == "" {
		return Options{}, false
	}
	return Options{Server: "https://" + joinHostPort(host, port), Node: node}, true
}

// Resolver knows the pods of a node. It is safe for concurrent use.
type Resolver struct {
	client *client
	opts   Options
	now    func() time.Time
	missed chan struct{} // somebody asked for what is not known

	mu     sync.RWMutex
	table  table
	synced bool
	err    error
}

// New returns a Resolver that knows no pod yet, and asks for none: [Resolver.Run] does.
func New(o Options) (*Resolver, error) {
	if o.TokenFile == "" {
		o.TokenFile = serviceAccount + "token"
	}
	if o.CAFile == "" {
		o.CAFile = serviceAccount + "ca.crt"
	}
	if o.MaxPods <= 0 {
		o.MaxPods = 1024
	}
	o.pace.setDefaults()
	base, name := o.Server, "API server"
	if o.Kubelet != "" {
		base, name = o.Kubelet, "kubelet"
	} else if !isName(o.Node, maxName) {
		return nil, errors.New("the name of the node must be known, to ask the API server for its pods: set NODE_NAME")
	}
	c, err := newClient(base, name, o.TokenFile, o.CAFile)
	if err != nil {
		return nil, err
	}
	return &Resolver{
		client: c, opts: o, now: time.Now, missed: make(chan struct{}, 1), table: newTable(o.MaxPods, o.pace.keep),
	}, nil
}

func (p *pace) setDefaults() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&p.retry, time.Second}, {&p.maxRetry, 2 * time.Minute}, {&p.poll, 30 * time.Second}, {&p.minPoll, 2 * time.Second},
		{&p.watch, 5 * time.Minute}, {&p.keep, 10 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
}

// Run keeps the pods up to date until ctx ends. What goes wrong is tried again, later and later: [Resolver.State].
func (r *Resolver) Run(ctx context.Context) {
	ask := r.follow
	if r.opts.Kubelet != "" {
		ask = r.poll
	}
	for wait := r.opts.pace.retry; ctx.Err() == nil; {
		began := r.now()
		err := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if r.State().Err == nil && r.now().Sub(began) > wait { // it went well for a while
			wait = r.opts.pace.retry
		}
		r.note(err)
		sleep(ctx, wait/2+rand.N(wait/2+1)) // so that not all nodes come at once
		wait = min(2*wait, r.opts.pace.maxRetry)
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// note remembers what went wrong, nil if nothing did.
func (r *Resolver) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.synced = r.synced || err == nil
}

// Pod returns where something runs whose cgroup names a pod's uid, or a container's id, or both. ok is false for what
// is not known; container is "" for what is in no container of the pod that is known, as its sandbox.
func (r *Resolver) Pod(uid, containerID string) (namespace, pod, container string, ok bool) {
	if uid == "" && containerID == "" {
		return "", "", "", false
	}
	r.mu.RLock()
	p := r.table.find(uid, containerID)
	if p != nil {
		namespace, pod, container, ok = p.namespace, p.name, p.containers[containerID], true
	}
	r.mu.RUnlock()
	if !ok || (container == "" && containerID != "") {
		select {
		case r.missed <- struct{}{}:
		default:
		}
	}
	return namespace, pod, container, ok
}

// State is how well the pods are known.
type State struct {
	Synced  bool   // they were known once
	Pods    int    // remembered now, those that are gone included
	Refused uint64 // pods that were not remembered: beyond the bound, or without a valid name
	Err     error  // what went wrong last; nil: nothing since it went well
}

// State returns how well the pods are known.
func (r *Resolver) State() State {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return State{Synced: r.synced, Pods: len(r.table.pods), Refused: r.table.refused, Err: r.err}
}
