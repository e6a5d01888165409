package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxObject is more than one pod can take: etcd takes 1.5 MiB.
	maxObject = 4 << 20
	listPage  = 100 // pods in one answer
	listTime  = time.Minute
)

// follow lists the node's pods and then watches them, until something goes wrong.
func (r *Resolver) follow(ctx context.Context) error {
	version, err := r.list(ctx)
	if err != nil {
		return err
	}
	r.note(nil)
	for {
		began := r.now()
		version, err = r.watch(ctx, version)
		if err != nil {
			return err
		}
		sleep(ctx, r.opts.pace.retry-r.now().Sub(began)) // a server that ends each watch at once
	}
}

// selection is what of all the cluster's pods is asked for.
func (r *Resolver) selection() url.Values {
	return url.Values{"fieldSelector": {"spec.nodeName=" + r.opts.Node}}
}

// list replaces what is known by the pods there are, and returns the version from which on to watch.
func (r *Resolver) list(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	there := make(map[string]bool)
	query := r.selection()
	query.Set("limit", strconv.Itoa(listPage))
	r.beginList()
	for pages := 0; ; pages++ {
		if pages > 2*r.opts.MaxPods { // even one with a single pod each
			return "", fmt.Errorf("list pods: there are more than %d pages", pages-1)
		}
		meta, err := r.page(ctx, "/api/v1/pods", query, there)
		if err != nil {
			return "", fmt.Errorf("list pods: %w", err)
		}
		if meta.Continue == "" {
			r.endOthers(there)
			return meta.ResourceVersion, nil
		}
		query.Set("continue", meta.Continue)
	}
}

// page reads one answer with a list of pods, and adds their uids to there.
func (r *Resolver) page(
	ctx context.Context, path string, query url.Values, there map[string]bool,
) (meta wireListMeta, err error) {
	body, err := r.client.get(ctx, path, query)
	if err != nil {
		return meta, err
	}
	defer body.Close()
	in := &allowance{Reader: body, most: maxObject, left: maxObject}
	err = readList(json.NewDecoder(in), &meta, func(p *wirePod) error {
		in.renew()
		if len(there) >= 2*r.opts.MaxPods {
			return fmt.Errorf("there are more than %d", len(there))
		}
		there[bounded(p.Metadata.UID)] = true
		r.mu.Lock()
		defer r.mu.Unlock()
		r.table.put(p, r.now())
		return nil
	})
	return meta, err
}

// bounded is a uid, or the beginning of what is none: such a pod is not remembered, and only counted.
func bounded(uid string) string { return strings.Clone(uid[:min(len(uid), maxLabel+1)]) }

func (r *Resolver) beginList() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.lists++
}

func (r *Resolver) endOthers(there map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.endOthers(there, r.now())
}

// readList reads {"metadata": …, "items": [ … ]} without holding more than one item.
func readList(in *json.Decoder, meta *wireListMeta, item func(*wirePod) error) error {
	if err := expect(in, json.Delim('{')); err != nil {
		return err
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		switch key {
		case "metadata":
			err = in.Decode(meta)
		case "items":
			err = readItems(in, item)
		default:
			var ignored json.RawMessage
			err = in.Decode(&ignored)
		}
		if err != nil {
			return err
		}
	}
	return expect(in, json.Delim('}'))
}

func readItems(in *json.Decoder, item func(*wirePod) error) error {
	start, err := in.Token()
	if err != nil || start == nil { // null: none
		return err
	}
	if start != json.Delim('[') {
		return fmt.Errorf("items are no list but %v", start)
	}
	for in.More() {
		var p wirePod
		if err := in.Decode(&p); err != nil {
			return err
		}
		if err := item(&p); err != nil {
			return err
		}
	}
	return expect(in, json.Delim(']'))
}

func expect(in *json.Decoder, want json.Delim) error {
	got, err := in.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err == nil && got != want {
		err = fmt.Errorf("the answer has %v where %v should be", got, want)
	}
	return err
}

// watch follows the changes since version until the server ends the watch, as it was asked to, and returns the version
// from which on to go on.
func (r *Resolver) watch(ctx context.Context, version string) (string, error) {
	const grace = 30 * time.Second // for a server that forgets to, or a connection that is dead
	ctx, cancel := context.WithTimeout(ctx, r.opts.pace.watch+grace)
	defer cancel()
	query := r.selection()
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", version)
	query.Set("timeoutSeconds", strconv.Itoa(max(1, int(r.opts.pace.watch/time.Second))))
	body, err := r.client.get(ctx, "/api/v1/pods", query)
	if err != nil {
		return "", fmt.Errorf("watch pods: %w", err)
	}
	defer body.Close()
	in := &allowance{Reader: body, most: maxObject, left: maxObject}
	events := json.NewDecoder(in)
	for {
		var e wireEvent
		err := events.Decode(&e)
		if errors.Is(err, io.EOF) {
			return version, nil
		}
		if err != nil {
			return "", fmt.Errorf("watch pods: %w", err)
		}
		in.renew()
		v, err := r.apply(&e)
		if err != nil {
			return "", fmt.Errorf("watch pods: %w", err)
		}
		version = cmp.Or(v, version)
	}
}

// apply takes over one change, and returns the version that it leads to.
func (r *Resolver) apply(e *wireEvent) (version string, err error) {
	if e.Type == "ERROR" { // 410 Gone: the version is too old, and all is listed again
		var problem wireProblem
		_ = json.Unmarshal(e.Object, &problem) // without it the error is a general one
		return "", &statusError{
			server: r.client.name, code: cmp.Or(problem.Code, http.StatusInternalServerError), message: problem.Message,
		}
	}
	var p wirePod
	if err := json.Unmarshal(e.Object, &p); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Type {
	case "ADDED", "MODIFIED":
		r.table.put(&p, r.now())
	case "DELETED":
		r.table.put(&p, r.now())
		r.table.end(p.Metadata.UID, r.now())
	case "BOOKMARK":
		r.table.expire(r.now())
	default:
		return "", fmt.Errorf("a change of unknown type %.50q", e.Type)
	}
	return p.Metadata.ResourceVersion, nil
}
