package kube

import (
	"encoding/json"
	"strings"
)

// What is read of the API's objects: k8s.io/api core/v1 and meta/v1.
type (
	wirePod struct {
		Metadata wireMetadata `json:"metadata"`
		Status   wireStatus   `json:"status"`
	}
	wireMetadata struct {
		Name            string          `json:"name"`
		Namespace       string          `json:"namespace"`
		UID             string          `json:"uid"`
		ResourceVersion string          `json:"resourceVersion"`
		Annotations     wireAnnotations `json:"annotations"`
	}
	wireAnnotations struct {
		ConfigHash string `json:"kubernetes.io/config.hash"`
	}
	wireStatus struct {
		Containers []wireContainer `json:"containerStatuses"`
		Init       []wireContainer `json:"initContainerStatuses"`
		Ephemeral  []wireContainer `json:"ephemeralContainerStatuses"`
	}
	wireContainer struct {
		Name        string `json:"name"`
		ContainerID string `json:"containerID"` // containerd://ID
	}
	// wireEvent is one line of a watch. Its object is a pod or, with type ERROR, a problem.
	wireEvent struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	// wireProblem is a Status.
	wireProblem struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	// wireListMeta is where a list was made, and how it goes on.
	wireListMeta struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	}
)

// pod is what is remembered of w; ok is false if it cannot be named.
func (w *wirePod) pod() (p *pod, ok bool) {
	m := &w.Metadata
	if !isName(m.Name, maxName) || !isName(m.Namespace, maxLabel) || !isName(m.UID, maxLabel) {
		return nil, false
	}
	p = &pod{uid: m.UID, namespace: m.Namespace, name: m.Name, containers: map[string]string{}}
	// The kubelet names the cgroup of a static pod after its configuration; the uid is that of its image at the server.
	if hash := m.Annotations.ConfigHash; hash != m.UID && isName(hash, maxLabel) {
		p.alias = hash
	}
	for _, list := range [...][]wireContainer{w.Status.Containers, w.Status.Init, w.Status.Ephemeral} {
		for _, c := range list {
			_, id, found := strings.Cut(c.ContainerID, "://")
			if found && isName(c.Name, maxLabel) && isName(id, 2*maxLabel) && len(p.containers) < maxContainers {
				p.containers[strings.Clone(id)] = c.Name // not all that it stands in
			}
		}
	}
	return p, true
}
