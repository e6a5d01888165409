package kube

import (
	"context"
	"fmt"
	"time"
)

// poll asks the kubelet for its pods again and again, until something goes wrong: sooner when a container is not known.
func (r *Resolver) poll(ctx context.Context) error {
	for {
		asked := r.now()
		if err := r.ask(ctx); err != nil {
			return err
		}
		r.note(nil)
		next := time.NewTimer(r.opts.pace.poll)
		select {
		case <-ctx.Done():
		case <-next.C:
		case <-r.missed:
			sleep(ctx, r.opts.pace.minPoll-r.now().Sub(asked))
		}
		next.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// ask replaces what is known by what the kubelet says.
func (r *Resolver) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	there := make(map[string]bool)
	r.beginList()
	if _, err := r.page(ctx, "/pods", nil, there); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	r.endOthers(there)
	return nil
}
