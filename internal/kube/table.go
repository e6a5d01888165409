package kube

import (
	"cmp"
	"strings"
	"time"
)

// pod is what is remembered of one.
type pod struct {
	uid, namespace, name string
	alias                string            // the uid in the cgroup's name, where that is another
	containers           map[string]string // names by id
	gone                 time.Time         // when it was deleted; zero: it is there
	list                 uint64            // the latest list when it was told
}

// table holds pods by all that cgroups may call them.
type table struct {
	max  int
	keep time.Duration // how long after its end a pod is remembered: its connections' TIME_WAITs outlive it

	pods        map[string]*pod // by uid
	byAlias     map[string]*pod
	byContainer map[string]*pod
	refused     uint64
	lists       uint64 // that were begun
}

func newTable(maximum int, keep time.Duration) table {
	return table{
		max: maximum, keep: keep, pods: map[string]*pod{}, byAlias: map[string]*pod{}, byContainer: map[string]*pod{},
	}
}

// find returns the pod, nil if it is not known. The container is surer than the pod: it is in one pod only.
func (t *table) find(uid, containerID string) *pod {
	if p := t.byContainer[containerID]; p != nil && containerID != "" {
		return p
	}
	if uid == "" {
		return nil
	}
	if p := t.pods[uid]; p != nil {
		return p
	}
	return t.byAlias[uid]
}

// put remembers a pod as it is now.
func (t *table) put(w *wirePod, now time.Time) {
	p, ok := w.pod()
	if !ok {
		t.refused++
		return
	}
	if old := t.pods[p.uid]; old != nil {
		// Containers that were replaced are named, too, as long as there is room: their connections may still be closing.
		for id, name := range old.containers {
			if _, known := p.containers[id]; !known && len(p.containers) < maxContainers {
				p.containers[id] = name
			}
		}
		t.remove(old)
	} else if len(t.pods) >= t.max && !t.makeRoom(now) {
		t.refused++
		return
	}
	p.list = t.lists
	t.pods[p.uid] = p
	if p.alias != "" {
		t.byAlias[p.alias] = p
	}
	for id := range p.containers {
		t.byContainer[id] = p
	}
}

// end notes that a pod was deleted.
func (t *table) end(uid string, now time.Time) {
	if p := t.pods[uid]; p != nil && p.gone.IsZero() {
		p.gone = now
	}
	t.expire(now)
}

// endOthers notes that there are no pods but these.
func (t *table) endOthers(there map[string]bool, now time.Time) {
	for uid, p := range t.pods {
		if !there[uid] && p.gone.IsZero() {
			p.gone = now
		}
	}
	t.expire(now)
}

// expire forgets pods that are gone for long.
func (t *table) expire(now time.Time) {
	for _, p := range t.pods {
		if !p.gone.IsZero() && now.Sub(p.gone) >= t.keep {
			t.remove(p)
		}
	}
}

// makeRoom forgets the pod that is gone for longest, or one that the list which is being read has not named yet: if it is
// there, it will.
func (t *table) makeRoom(now time.Time) bool {
	var oldest, unnamed *pod
	for _, p := range t.pods {
		switch {
		case !p.gone.IsZero() && (oldest == nil || p.gone.Before(oldest.gone)):
			oldest = p
		case p.gone.IsZero() && p.list != t.lists:
			unnamed = p
		}
	}
	oldest = cmp.Or(oldest, unnamed)
	if oldest != nil {
		t.remove(oldest)
	}
	return oldest != nil
}

func (t *table) remove(p *pod) {
	delete(t.pods, p.uid)
	if t.byAlias[p.alias] == p {
		delete(t.byAlias, p.alias)
	}
	for id := range p.containers {
		if t.byContainer[id] == p {
			delete(t.byContainer, id)
		}
	}
}

const (
	maxContainers = 256 // of a pod, those of its past included
	maxName       = 253 // RFC 1123 subdomain: pods, nodes
	maxLabel      = 63  // RFC 1123 label: namespaces, containers
)

// isName reports whether s can be a name in Kubernetes: lower case, digits, dashes and dots. Others come from no API
// server, and would get into labels of metrics.
func isName(s string, longest int) bool {
	if s == "" || len(s) > longest {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
