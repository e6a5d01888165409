package deploy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	corev1 "k8s.io/api/core/v1"
)

func chartOf(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir("helm/tcpstate")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render is what `helm template tcpstate --namespace tcpstate` prints, with these values.
func render(t *testing.T, values map[string]any) (string, error) {
	t.Helper()
	c := chartOf(t)
	release := chartutil.ReleaseOptions{Name: "tcpstate", Namespace: "tcpstate", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for name, file := range files {
		if path.Ext(name) == ".yaml" {
			fmt.Fprintf(&text, "---\n%s\n", file)
		}
	}
	return text.String(), nil
}

func rendered(t *testing.T, values map[string]any) *manifests {
	t.Helper()
	text, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestChartAndBaseAreTheSamePod(t *testing.T) {
	a, b := base(t).daemonSet, rendered(t, nil).daemonSet
	a.Spec.Template.Spec.Volumes[0].ConfigMap.Name = b.Spec.Template.Spec.Volumes[0].ConfigMap.Name // has a hash
	if diff := cmp.Diff(a.Spec.Template.Spec, b.Spec.Template.Spec, cmpopts.EquateComparable()); diff != "" {
		t.Errorf("pods (-kustomize +helm):\n%s", diff)
	}
	if diff := cmp.Diff(a.Spec.UpdateStrategy, b.Spec.UpdateStrategy); diff != "" {
		t.Errorf("updates (-kustomize +helm):\n%s", diff)
	}
}

func TestTheChartsNamesFit(t *testing.T) {
	m := rendered(t, map[string]any{
		"fullnameOverride": "other", "podMonitor": map[string]any{"enabled": true, "labels": map[string]any{"release": "p"}},
		"networkPolicy": map[string]any{"fromNamespaces": []any{"monitoring", "ops"}}, "podLabels": map[string]any{"team": "net"},
	})
	spec, _ := container(t, m)
	for what, got := range map[string]string{
		"daemon set": m.daemonSet.Name, "account": m.account.Name, "the pods' account": spec.ServiceAccountName,
		"the bound account": m.binding.Subjects[0].Name, "role": m.binding.RoleRef.Name, "configuration": spec.Volumes[0].ConfigMap.Name,
	} {
		if got != "other" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if n := len(m.networkPolicy.Spec.Ingress[0].From); n != 2 {
		t.Errorf("the network policy lets %d namespaces in, want 2", n)
	}
	pods := m.daemonSet.Spec.Template.Labels
	if pods["team"] != "net" || m.podMonitor.Labels["release"] != "p" {
		t.Errorf("labels: %v, %v", pods, m.podMonitor.Labels)
	}
	for name, value := range m.podMonitor.Spec.Selector.MatchLabels {
		if pods[name] != value {
			t.Errorf("the pod monitor selects %s=%s, which the pods do not have", name, value)
		}
	}
}

func TestThePortIsTheSameEverywhere(t *testing.T) {
	m := rendered(t, map[string]any{"port": 9999, "podAnnotations": map[string]any{"prometheus.io/scrape": "false", "team": "net"}})
	_, c := container(t, m)
	got := m.daemonSet.Spec.Template.Annotations
	if got["prometheus.io/port"] != "9999" || c.Ports[0].ContainerPort != 9999 || !strings.Contains(m.config.Data["agent.yaml"], `":9999"`) {
		t.Errorf("annotations %v, port %d, configuration %q", got, c.Ports[0].ContainerPort, m.config.Data["agent.yaml"])
	}
	if got["prometheus.io/scrape"] != "false" || got["team"] != "net" {
		t.Errorf("annotations that were given: %v", got)
	}
	if by := rendered(t, nil).daemonSet.Spec.Template.Annotations; by["prometheus.io/scrape"] != "true" || by["prometheus.io/path"] != "/metrics" {
		t.Errorf("annotations by default: %v", by)
	}
}

func TestTextThatLooksLikeANumberStaysText(t *testing.T) {
	m := rendered(t, map[string]any{
		"fullnameOverride": "1", "nameOverride": "2", "priorityClassName": "3", "serviceAccount": map[string]any{"name": "4"},
		"networkPolicy": map[string]any{"fromNamespaces": []any{"5"}}, "captures": map[string]any{"hostPath": "", "sizeLimit": "6"},
		"podMonitor": map[string]any{"enabled": true},
	})
	if m.daemonSet.Name != "1" || m.daemonSet.Spec.Template.Labels["app.kubernetes.io/name"] != "2" || m.account.Name != "4" {
		t.Errorf("names %q, %q", m.daemonSet.Name, m.account.Name)
	}
}

func TestWhatIsSwitchedOffIsNotThere(t *testing.T) {
	m := rendered(t, map[string]any{
		"podNetworks": false, "podNames": false, "captures": map[string]any{"hostPath": ""}, "serviceAccount": map[string]any{"create": false},
	})
	spec, c := container(t, m)
	if slices.Contains(c.SecurityContext.Capabilities.Add, "SYS_ADMIN") || len(c.SecurityContext.Capabilities.Add) != 4 {
		t.Errorf("capabilities: %v", c.SecurityContext.Capabilities.Add)
	}
	if m.role != nil || m.binding != nil || m.account != nil || len(c.Env) != 0 || *spec.AutomountServiceAccountToken {
		t.Errorf("rights to list pods are left: %v, %v, %v, %v", m.role, m.binding, m.account, c.Env)
	}
	if spec.ServiceAccountName != "default" {
		t.Errorf("account %q", spec.ServiceAccountName)
	}
	empty := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil && v.EmptyDir.SizeLimit.String() == "1Gi" })
	if empty < 0 || len(hostFolders(spec, c)) != 1 {
		t.Errorf("captures are not in an emptyDir with a bound: %+v", spec.Volumes)
	}
	if m := rendered(t, nil); m.networkPolicy != nil || m.podMonitor != nil {
		t.Error("a network policy or a pod monitor is there by default")
	}
}

func TestAChangeOfTheConfigurationReplacesThePods(t *testing.T) {
	sum := func(values map[string]any) string {
		return rendered(t, values).daemonSet.Spec.Template.Annotations["checksum/config"]
	}
	if a, b := sum(nil), sum(map[string]any{"config": map[string]any{"window": "1m"}}); a == b || len(a) != 64 {
		t.Errorf("checksums %q and %q", a, b)
	}
}

func TestValuesThatAreWrongAreNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		values map[string]any
		want   string
	}{
		{"a name that is none", map[string]any{"podNetwork": true}, "podNetwork"},
		{"text for a switch", map[string]any{"podNames": "no"}, "podNames"},
		{"a port that is none", map[string]any{"port": 70000}, "port"},
		{"a nested name that is none", map[string]any{"image": map[string]any{"name": "x"}}, "name"},
		{"when to pull", map[string]any{"image": map[string]any{"pullPolicy": "always"}}, "pullPolicy"},
		{"listen is the chart's", map[string]any{"config": map[string]any{"listen": ":1"}}, "config"},
		{"a setting with an underscore", map[string]any{"config": map[string]any{"max_size": "1G"}}, "max_size"},
		{"a setting that is a mapping", map[string]any{"config": map[string]any{"window": map[string]any{}}}, "window"},
		{"a folder that is none", map[string]any{"captures": map[string]any{"hostPath": "captures"}}, "hostPath"},
		{"a namespace that is none", map[string]any{"networkPolicy": map[string]any{"fromNamespaces": []any{"a: b"}}}, "fromNamespaces"},
		{"a label that is a number", map[string]any{"nodeSelector": map[string]any{"a": 1}}, "nodeSelector"},
	} {
		if _, err := render(t, test.values); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v does not name %s", test.name, err, test.want)
		}
	}
}

func TestEveryValueIsInTheSchemaAndUsed(t *testing.T) {
	c := chartOf(t)
	var templates strings.Builder
	for _, file := range c.Templates {
		templates.Write(file.Data)
	}
	for name := range c.Values {
		if !strings.Contains(templates.String(), ".Values."+name) {
			t.Errorf("no template uses the value %s", name)
		}
	}
}
