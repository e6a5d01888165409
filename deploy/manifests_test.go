// Package deploy holds what puts tcpstate into containers and Kubernetes. Its tests hold that against the schemas of
// Kubernetes, against each other and against the systemd unit, without a cluster.
package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are objects by kind.
type manifests struct {
	daemonSet     *appsv1.DaemonSet
	config        *corev1.ConfigMap
	account       *corev1.ServiceAccount
	role          *rbacv1.ClusterRole
	binding       *rbacv1.ClusterRoleBinding
	namespace     *corev1.Namespace
	networkPolicy *networkingv1.NetworkPolicy
	podMonitor    *monitoringv1.PodMonitor
}

// decode reads YAML documents into the types of the API. A field that the API does not have is an error, and so are a kind
// that is not expected and one that is there twice.
func decode(text string) (*manifests, error) {
	m := &manifests{}
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		if strings.TrimSpace(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(document, "")) == "" {
			continue
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		var err error
		switch kind.APIVersion + " " + kind.Kind {
		case "apps/v1 DaemonSet":
			err = into(&m.daemonSet, document)
		case "v1 ConfigMap":
			err = into(&m.config, document)
		case "v1 ServiceAccount":
			err = into(&m.account, document)
		case "v1 Namespace":
			err = into(&m.namespace, document)
		case "rbac.authorization.k8s.io/v1 ClusterRole":
			err = into(&m.role, document)
		case "rbac.authorization.k8s.io/v1 ClusterRoleBinding":
			err = into(&m.binding, document)
		case "networking.k8s.io/v1 NetworkPolicy":
			err = into(&m.networkPolicy, document)
		case "monitoring.coreos.com/v1 PodMonitor":
			err = into(&m.podMonitor, document)
		default:
			err = fmt.Errorf("unexpected %s of %q", kind.Kind, kind.APIVersion)
		}
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
	}
	return m, nil
}

func into[T any](to **T, document string) error {
	if *to != nil {
		return fmt.Errorf("a second %T", *to)
	}
	*to = new(T)
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return err
	}
	// As the API server reads it: encoding/json would take hostPid for hostPID.
	wrong, err := json.UnmarshalStrict(text, *to)
	return errors.Join(append(wrong, err)...)
}

// kustomized is what kubectl kustomize makes of a folder.
func kustomized(t *testing.T, dir string) *manifests {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func base(t *testing.T) *manifests { return kustomized(t, "kustomize/base") }

func container(t *testing.T, m *manifests) (corev1.PodSpec, corev1.Container) {
	t.Helper()
	spec := m.daemonSet.Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		t.Fatalf("the pod has %d containers and %d for its start, want one", len(spec.Containers), len(spec.InitContainers))
	}
	return spec, spec.Containers[0]
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAFieldThatKubernetesDoesNotHaveIsFound(t *testing.T) {
	for _, wrong := range []string{
		"apiVersion: apps/v1\nkind: DaemonSet\nspec:\n  template:\n    spec:\n      hostPid: true\n",
		"apiVersion: v1\nkind: ConfigMap\ndatas: {}\n",
		"apiVersion: apps/v1beta1\nkind: DaemonSet\n",
		"apiVersion: v1\nkind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n",
		"apiVersion: v1\nkind: ConfigMap\ndata: {}\ndata: {}\n",
	} {
		if _, err := decode(wrong); err == nil {
			t.Errorf("nothing is wrong with\n%s", wrong)
		}
	}
}

func TestTheNamesInTheBaseFit(t *testing.T) {
	m := base(t)
	spec, _ := container(t, m)
	subject := m.binding.Subjects[0]
	for what, pair := range map[string][2]string{
		"the pods' account":         {spec.ServiceAccountName, m.account.Name},
		"the bound account":         {subject.Namespace + "/" + subject.Name, m.account.Namespace + "/" + m.account.Name},
		"the bound role":            {m.binding.RoleRef.Name, m.role.Name},
		"the namespace":             {m.daemonSet.Namespace, m.namespace.Name},
		"the configuration":         {spec.Volumes[0].ConfigMap.Name, m.config.Name},
		"what pod security may see": {m.namespace.Labels["pod-security.kubernetes.io/enforce"], "privileged"},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("%s: %q and %q", what, pair[0], pair[1])
		}
	}
	selector := m.daemonSet.Spec.Selector.MatchLabels
	for name, value := range selector {
		if m.daemonSet.Spec.Template.Labels[name] != value {
			t.Errorf("the selector's %s=%s is no label of the pods", name, value)
		}
	}
	if len(selector) == 0 {
		t.Error("there is no selector")
	}
}

func TestThePodHasNoMoreRightsThanItNeeds(t *testing.T) {
	for name, m := range map[string]*manifests{"kustomize": base(t), "helm": rendered(t, nil)} {
		spec, c := container(t, m)
		s := c.SecurityContext
		for what, wrong := range map[string]bool{
			"hostNetwork":              spec.HostNetwork,
			"hostIPC":                  spec.HostIPC,
			"no hostPID":               !spec.HostPID,
			"privileged":               s.Privileged == nil || *s.Privileged,
			"allowPrivilegeEscalation": s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation,
			"a root that is writable":  s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem,
			"no seccomp":               s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault,
			"capabilities by default":  !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}),
			"no limit of memory":       c.Resources.Limits.Memory().IsZero(),
			"no limit of CPU":          c.Resources.Limits.Cpu().IsZero(),
			"no request of memory":     c.Resources.Requests.Memory().IsZero(),
			"a host's port":            c.Ports[0].HostPort != 0,
		} {
			if wrong {
				t.Errorf("%s: %s", name, what)
			}
		}
		rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}}
		if diff := cmp.Diff(rules, m.role.Rules); diff != "" {
			t.Errorf("%s: rights (-want +got):\n%s", name, diff)
		}
		want := map[string]string{"/sys/fs/cgroup": "read only", "/var/lib/tcpstate": "writable"}
		if diff := cmp.Diff(want, hostFolders(spec, c)); diff != "" {
			t.Errorf("%s: folders of the node (-want +got):\n%s", name, diff)
		}
	}
}

// hostFolders are the node's folders that the container sees.
func hostFolders(spec corev1.PodSpec, c corev1.Container) map[string]string {
	found := map[string]string{}
	for _, v := range spec.Volumes {
		for _, mount := range c.VolumeMounts {
			if mount.Name != v.Name || v.HostPath == nil {
				continue
			}
			found[v.HostPath.Path] = map[bool]string{true: "read only", false: "writable"}[mount.ReadOnly]
			if mount.MountPath != v.HostPath.Path {
				found[v.HostPath.Path] += " at " + mount.MountPath
			}
		}
	}
	return found
}

// directives are all values of a name in a unit, or a drop-in, word by word.
func directives(t *testing.T, path, name string) (words []string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(read(t, path), -1) {
		words = append(words, strings.Fields(found[1])...)
	}
	return words
}

const (
	unit   = "../packaging/tcpstate.service"
	dropIn = "../packaging/namespaces.conf"
)

func TestTheContainerIsWhatTheSystemdUnitIs(t *testing.T) {
	_, c := container(t, base(t))
	for _, name := range []string{"CapabilityBoundingSet", "AmbientCapabilities"} {
		var want []string
		for _, capability := range append(directives(t, unit, name), directives(t, dropIn, name)...) {
			want = append(want, strings.TrimPrefix(capability, "CAP_"))
		}
		var got []string
		for _, capability := range c.SecurityContext.Capabilities.Add {
			got = append(got, string(capability))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s of the unit and namespaces.conf, and the container's capabilities (-unit +container):\n%s", name, diff)
		}
	}
	start := directives(t, unit, "ExecStart")
	if diff := cmp.Diff(start[1:], c.Args); diff != "" {
		t.Errorf("arguments (-unit +container):\n%s", diff)
	}
	if got := dockerfile(t).entrypoint; got != start[0] {
		t.Errorf("the unit starts %s, the image %s", start[0], got)
	}
	mounts := map[string]bool{}
	for _, m := range c.VolumeMounts {
		mounts[m.MountPath] = true
	}
	for _, path := range []string{
		"/var/lib/" + directives(t, unit, "StateDirectory")[0], "/etc/" + directives(t, unit, "ConfigurationDirectory")[0],
	} {
		if !mounts[path] {
			t.Errorf("the container has no %s", path)
		}
	}
	if got, want := c.Resources.Limits.Memory().Value(), int64(256<<20); got != want || directives(t, unit, "MemoryMax")[0] != "256M" {
		t.Errorf("memory: %d in the container, %s in the unit", got, directives(t, unit, "MemoryMax"))
	}
	if cpu := c.Resources.Limits.Cpu(); cpu.MilliValue() != 1000 || directives(t, unit, "CPUQuota")[0] != "100%" {
		t.Errorf("CPU: %s in the container, %s in the unit", cpu, directives(t, unit, "CPUQuota"))
	}
}

func TestTheMetricsAreFound(t *testing.T) {
	m := kustomized(t, "kustomize/prometheus-operator")
	_, c := container(t, m)
	port := c.Ports[0]
	annotations := m.daemonSet.Spec.Template.Annotations
	for what, got := range map[string]string{
		"annotation":      annotations["prometheus.io/port"],
		"configuration":   regexp.MustCompile(`":(\d+)"`).FindStringSubmatch(m.config.Data["agent.yaml"])[1],
		"systemd's":       regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(read(t, "../packaging/agent.yaml"))[1],
		"the image's":     dockerfile(t).port,
		"the container's": fmt.Sprint(port.ContainerPort),
	} {
		if got != "9847" {
			t.Errorf("port, %s: %s", what, got)
		}
	}
	for what, got := range map[string]string{
		"pod monitor":     *m.podMonitor.Spec.PodMetricsEndpoints[0].Port,
		"network policy":  m.networkPolicy.Spec.Ingress[0].Ports[0].Port.String(),
		"liveness probe":  c.LivenessProbe.HTTPGet.Port.String(),
		"readiness probe": c.ReadinessProbe.HTTPGet.Port.String(),
		"startup probe":   c.StartupProbe.HTTPGet.Port.String(),
	} {
		if got != port.Name {
			t.Errorf("%s asks for port %q, the container's is %q", what, got, port.Name)
		}
	}
	if !m.podMonitor.Spec.PodMetricsEndpoints[0].HonorLabels {
		t.Error("the labels pod and namespace of the metrics would be those of the agent's pod")
	}
	pods := m.daemonSet.Spec.Template.Labels
	for what, labels := range map[string]map[string]string{
		"pod monitor": m.podMonitor.Spec.Selector.MatchLabels, "network policy": m.networkPolicy.Spec.PodSelector.MatchLabels,
	} {
		for name, value := range labels {
			if pods[name] != value {
				t.Errorf("%s selects %s=%s, which the pods do not have", what, name, value)
			}
		}
	}
}

// tool is tcpstate, built from this tree.
func tool(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tcpstate")
	build := exec.Command("go", "-C", "..", "build", "-o", path, "./cmd/tcpstate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestTheConfigurationsAreRight(t *testing.T) {
	path := tool(t)
	everything := map[string]any{"config": map[string]any{
		"syscalls": true, "destinations": 500, "trigger": []any{"exhausted>0", "used_ratio>0.9"}, "window": "10m",
	}}
	for name, config := range map[string]string{
		"packaging":     read(t, "../packaging/agent.yaml"),
		"kustomize":     base(t).config.Data["agent.yaml"],
		"helm":          rendered(t, nil).config.Data["agent.yaml"],
		"helm, changed": rendered(t, everything).config.Data["agent.yaml"],
	} {
		file := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "agent", "--config", file, "--check-config").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s\n%s", name, err, out, config)
		}
	}
	if file := filepath.Join(t.TempDir(), "wrong"); os.WriteFile(file, []byte("listn: x\n"), 0o600) == nil {
		out, err := exec.Command(path, "agent", "--config", file, "--check-config").CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("listn")) {
			t.Errorf("--check-config finds nothing wrong: %v: %s", err, out)
		}
	}
}
