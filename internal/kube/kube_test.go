package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

const (
	uidA = "0c8d6bd5-9f2b-4b8e-8a57-3c5f2ad3c001"
	uidB = "0c8d6bd5-9f2b-4b8e-8a57-3c5f2ad3c002"
	hash = "a1b2c3d4e5f60718293a4b5c6d7e8f90" // of a static pod
)

var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
	idC = strings.Repeat("c", 64)
)

// object is a pod as the API tells it, with fields that nobody reads.
func object(uid, namespace, name, version string, containers ...string) map[string]any {
	var statuses []any
	for i := 0; i < len(containers); i += 2 {
		statuses = append(statuses, map[string]any{"name": containers[i], "containerID": "containerd://" + containers[i+1], "ready": true})
	}
	return map[string]any{
		"kind": "Pod", "apiVersion": "v1",
		"metadata": map[string]any{
			"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version,
			"annotations": map[string]any{"other": "x"}, "managedFields": []any{map[string]any{"manager": "kubelet"}},
		},
		"spec":   map[string]any{"nodeName": "node-1"},
		"status": map[string]any{"phase": "Running", "containerStatuses": statuses},
	}
}

func change(kind string, object any) any { return map[string]any{"type": kind, "object": object} }

// server is an API server, or a kubelet, of a test.
type server struct {
	*httptest.Server
	options Options

	mu       sync.Mutex
	requests []string // path?query
	tokens   []string
	answers  map[string][]http.HandlerFunc // by "list", "watch", "kubelet": one after the other, the last again and again
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{answers: map[string][]http.HandlerFunc{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	s.options = Options{
		Server: s.URL, Node: "node-1", TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt"),
		pace: pace{retry: time.Millisecond, maxRetry: 20 * time.Millisecond, poll: time.Hour, minPoll: time.Millisecond, watch: time.Second},
	}
	write(t, s.options.TokenFile, "first\n")
	write(t, s.options.CAFile, string(authority))
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *server) serve(w http.ResponseWriter, q *http.Request) {
	what := "list"
	switch {
	case q.URL.Path == "/pods":
		what = "kubelet"
	case q.URL.Path != "/api/v1/pods":
		http.NotFound(w, q)
		return
	case q.URL.Query().Get("watch") != "":
		what = "watch"
	}
	s.mu.Lock()
	s.requests = append(s.requests, q.URL.RequestURI())
	s.tokens = append(s.tokens, q.Header.Get("Authorization"))
	var answer http.HandlerFunc
	if rest := s.answers[what]; len(rest) > 0 {
		answer = rest[0]
		if len(rest) > 1 {
			s.answers[what] = rest[1:]
		}
	}
	s.mu.Unlock()
	if q.Method != http.MethodGet || answer == nil {
		http.Error(w, "unexpected", http.StatusTeapot)
		return
	}
	answer(w, q)
}

func (s *server) answer(what string, answers ...http.HandlerFunc) { s.answers[what] = answers }

func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// list answers with these pods.
func list(version, next string, pods ...any) http.HandlerFunc {
	return says(map[string]any{
		"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": version, "continue": next}, "items": pods,
	})
}

func says(what any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(what) }
}

// refuses answers with a status, and a Status.
func refuses(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "status": "Failure", "message": message, "code": code})
	}
}

// changes answers a watch with these, and leaves it open until the other end goes, or for an instant.
func changes(open bool, events ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		for _, e := range events {
			_ = json.NewEncoder(w).Encode(e)
		}
		if open {
			w.(http.Flusher).Flush()
			<-q.Context().Done()
		}
	}
}

// run starts a resolver, which ends with the test.
func run(t *testing.T, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("Run goes on after its context has ended")
		}
	})
	return r
}

// until waits for what a resolver does in its own time.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

// named is what Pod says, in one text; "-" for what is not known.
func named(r *Resolver, uid, container string) string {
	namespace, pod, name, ok := r.Pod(uid, container)
	if !ok {
		return "-" + namespace + pod + name
	}
	return namespace + "/" + pod + "/" + name
}

func TestPodsOfTheNodeAreNamedByUIDAndByContainer(t *testing.T) {
	s := newServer(t)
	static := object("77777777-0000-4000-8000-000000000001", "kube-system", "etcd-node-1", "5", "etcd", idC)
	static["metadata"].(map[string]any)["annotations"] = map[string]any{"kubernetes.io/config.hash": hash}
	initial := object(uidB, "shop", "cart-0", "6")
	initial["status"] = map[string]any{
		"initContainerStatuses":      []any{map[string]any{"name": "migrate", "containerID": "cri-o://" + idB}},
		"ephemeralContainerStatuses": []any{map[string]any{"name": "debug", "containerID": "docker://" + strings.Repeat("d", 64)}},
		"containerStatuses":          []any{map[string]any{"name": "cart", "containerID": ""}}, // not started yet
	}
	s.answer("list", list("10", "more", object(uidA, "shop", "checkout-7d9f", "4", "app", idA)), list("11", "", static, initial))
	s.answer("watch", changes(true))
	r := run(t, s.options)
	until(t, "pods are known", func() bool { return r.State().Synced })
	for _, test := range []struct{ name, uid, container, want string }{
		{"both", uidA, idA, "shop/checkout-7d9f/app"},
		{"the container alone", "", idA, "shop/checkout-7d9f/app"},
		{"the pod alone", uidA, "", "shop/checkout-7d9f/"},
		{"a container that is not known of a pod that is: its sandbox", uidA, strings.Repeat("e", 64), "shop/checkout-7d9f/"},
		{"a static pod by the hash in its cgroup", hash, "", "kube-system/etcd-node-1/"},
		{"a static pod's container", hash, idC, "kube-system/etcd-node-1/etcd"},
		{"an init container", uidB, idB, "shop/cart-0/migrate"},
		{"a debug container", uidB, strings.Repeat("d", 64), "shop/cart-0/debug"},
		{"unknown", "0c8d6bd5-9f2b-4b8e-8a57-3c5f2ad3cfff", strings.Repeat("f", 64), "-"},
		{"nothing", "", "", "-"},
	} {
		if got := named(r, test.uid, test.container); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if state := r.State(); state.Pods != 3 || state.Refused != 0 || state.Err != nil {
		t.Errorf("state: %+v", state)
	}
	want := []string{
		"/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=100",
		"/api/v1/pods?continue=more&fieldSelector=spec.nodeName%3Dnode-1&limit=100",
		"/api/v1/pods?allowWatchBookmarks=true&fieldSelector=spec.nodeName%3Dnode-1&resourceVersion=11&timeoutSeconds=1&watch=1",
	}
	until(t, "a watch", func() bool { return len(s.asked()) >= len(want) })
	if diff := cmp.Diff(want, s.asked()[:len(want)]); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestChangesAreFollowed(t *testing.T) {
	s := newServer(t)
	s.answer("list", list("10", "", object(uidA, "shop", "checkout", "4", "app", idA)))
	s.answer("watch",
		changes(false, change("ADDED", object(uidB, "shop", "cart", "12")), change("MODIFIED", object(uidB, "shop", "cart", "13", "app", idB)),
			change("BOOKMARK", map[string]any{"kind": "Pod", "metadata": map[string]any{"resourceVersion": "20"}})),
		changes(true, change("DELETED", object(uidA, "shop", "checkout", "21", "app", idA)),
			change("MODIFIED", object(uidB, "shop", "cart", "22", "app", idC))),
	)
	r := run(t, s.options)
	until(t, "the restart of cart", func() bool { return named(r, "", idC) == "shop/cart/app" })
	for what, got := range map[string]string{
		"the container before the restart": named(r, uidB, idB),
		"a pod that is gone":               named(r, uidA, idA),
	} {
		if want := map[bool]string{true: "shop/cart/app", false: "shop/checkout/app"}[strings.HasPrefix(what, "the")]; got != want {
			t.Errorf("%s: %q, want %q: its connections' TIME_WAITs outlive it", what, got, want)
		}
	}
	if last := s.asked()[2]; !strings.Contains(last, "resourceVersion=20&") {
		t.Errorf("the watch goes on at %q, want the bookmark's version 20", last)
	}
	if n := len(s.asked()); n != 3 {
		t.Errorf("%d requests, want a list and two watches", n)
	}
}

func TestAPodThatIsGoneIsForgottenInTime(t *testing.T) {
	now := time.Unix(1000, 0)
	table := newTable(2, time.Minute)
	put := func(uid, name string, id string) {
		w := &wirePod{Metadata: wireMetadata{UID: uid, Namespace: "n", Name: name}}
		w.Status.Containers = []wireContainer{{Name: "c", ContainerID: "containerd://" + id}}
		table.put(w, now)
	}
	put("a", "one", idA)
	table.end("a", now)
	now = now.Add(59 * time.Second)
	table.expire(now)
	if table.find("a", "") == nil {
		t.Error("forgotten after 59 s")
	}
	now = now.Add(time.Second)
	table.expire(now)
	if table.find("a", "") != nil || table.find("", idA) != nil {
		t.Error("remembered for more than a minute")
	}
	put("a", "one", idA)
	put("b", "two", idB)
	put("c", "three", idC)
	if table.refused != 1 || table.find("c", idC) != nil {
		t.Errorf("a third pod in a table of two: refused %d", table.refused)
	}
	table.end("b", now)
	put("c", "three", idC)
	if table.find("c", "") == nil || table.find("b", "") != nil || table.find("", idB) != nil || table.find("a", "") == nil {
		t.Error("a pod that is gone makes room for one that is there, and for nothing else")
	}
	if len(table.pods) != 2 || len(table.byContainer) != 2 || len(table.byAlias) != 0 {
		t.Errorf("left over: %d pods, %d containers, %d aliases", len(table.pods), len(table.byContainer), len(table.byAlias))
	}
}

func TestAPodOfRestartsIsBounded(t *testing.T) {
	table := newTable(10, time.Minute)
	for n := range 3 * maxContainers {
		w := &wirePod{Metadata: wireMetadata{UID: "a", Namespace: "n", Name: "loop"}}
		w.Status.Containers = []wireContainer{{Name: "c", ContainerID: fmt.Sprintf("containerd://%064x", n)}}
		table.put(w, time.Unix(int64(n), 0))
		if table.find("", fmt.Sprintf("%064x", n)) == nil {
			t.Fatalf("the container after %d restarts is not known", n)
		}
	}
	if n := len(table.byContainer); n > maxContainers {
		t.Errorf("%d containers are remembered, want %d at most", n, maxContainers)
	}
}

// more answers with one pod after the other, a page each.
func more() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, q *http.Request) {
		list("1", "more", object(fmt.Sprintf("uid-%d", n.Add(1)), "a", "b", "1"))(w, q)
	}
}

func TestWhatGoesWrongIsToldAndTriedAgain(t *testing.T) {
	pods := list("10", "", object(uidA, "shop", "checkout", "4", "app", idA))
	huge := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"items":[{"metadata":{"name":"`)
		for range 5 << 10 {
			if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<10)); err != nil {
				return
			}
		}
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"items":[`)
		for n := 0; ; n++ {
			if _, err := fmt.Fprintf(w, `{"metadata":{"uid":"%d","name":"a","namespace":"b"}},`, n); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name        string
		list, watch []http.HandlerFunc
		want        string
	}{
		{"no right to list", []http.HandlerFunc{refuses(403, `pods is forbidden: "x"`), pods}, nil,
			`list pods: the API server answers 403 Forbidden ("pods is forbidden: \"x\""): the service account needs the verbs list and watch on pods`},
		{"no token that counts", []http.HandlerFunc{refuses(401, "Unauthorized"), pods}, nil, "is the service account's token mounted?"},
		{"hostile words", []http.HandlerFunc{refuses(500, "\x1b[2J\n"), pods}, nil, `("\x1b[2J\n")`},
		{"no JSON", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }, pods}, nil, "invalid character '<'"},
		{"no list", []http.HandlerFunc{says([]any{}), pods}, nil, "has [ where { should be"},
		{"items that are none", []http.HandlerFunc{says(map[string]any{"items": 5}), pods}, nil, "items are no list but 5"},
		{"a pod that is none", []http.HandlerFunc{says(map[string]any{"items": []any{5}}), pods}, nil, "cannot unmarshal number"},
		{"cut off", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"items":[`) }, pods}, nil, "EOF"},
		{"too large", []http.HandlerFunc{huge, pods}, nil, errTooLarge.Error()},
		{"for ever another page", []http.HandlerFunc{more()}, nil, "list pods: there are more than 400"},
		{"for ever another page without pods", []http.HandlerFunc{list("1", "more")}, nil, "there are more than 400 pages"},
		{"a page without end", []http.HandlerFunc{endless, pods}, nil, "there are more than 400"},
		{"another server", []http.HandlerFunc{func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://192.0.2.1/", http.StatusTemporaryRedirect)
		}, pods}, nil, "answers 307"},
		{"a version that is too old", []http.HandlerFunc{pods},
			[]http.HandlerFunc{changes(true, change("ERROR", map[string]any{"kind": "Status", "status": "Failure", "code": 410, "message": "too old resource version"}))},
			`watch pods: the API server answers 410 Gone ("too old resource version")`},
		{"a change of a new kind", []http.HandlerFunc{pods}, []http.HandlerFunc{changes(true, change("MOVED", object(uidA, "a", "b", "1")))}, `unknown type "MOVED"`},
		{"a watch of nonsense", []http.HandlerFunc{pods}, []http.HandlerFunc{changes(true, "x")}, "cannot unmarshal string"},
		{"no right to watch", []http.HandlerFunc{pods}, []http.HandlerFunc{refuses(403, "")}, "watch pods: the API server answers 403 Forbidden: the service"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.options.MaxPods = 200
			s.options.pace.retry, s.options.pace.maxRetry = 40*time.Millisecond, 80*time.Millisecond // long enough to be seen
			s.answer("list", test.list...)
			s.answer("watch", append(test.watch, changes(true))...)
			r := run(t, s.options)
			until(t, "error "+test.want, func() bool {
				err := r.State().Err
				return err != nil && strings.Contains(err.Error(), test.want)
			})
			if strings.HasPrefix(test.name, "for ever another page") {
				return
			}
			until(t, "pods are known after all", func() bool { return named(r, uidA, idA) == "shop/checkout/app" && r.State().Err == nil })
		})
	}
}

func TestAPodIsNamedOnlyByNamesThatKubernetesAllows(t *testing.T) {
	s := newServer(t)
	long := strings.Repeat("x", 64)
	s.answer("list", list("1", "",
		object(uidA, "shop", "evil\n{}", "1"), object(uidA, `shop"`, "evil", "1"), object(uidA, long, "evil", "1"), object("../..", "a", "b", "1"),
		object("", "a", "b", "1"), object(uidB, "shop", "cart.v2", "1", "App", idA, "app", idB)))
	s.answer("watch", changes(true))
	r := run(t, s.options)
	until(t, "pods are known", func() bool { return r.State().Synced })
	if state := r.State(); state.Pods != 1 || state.Refused != 5 {
		t.Errorf("%d pods, %d refused; want 1 and 5", state.Pods, state.Refused)
	}
	if got := named(r, uidB, idA) + " " + named(r, uidB, idB); got != "shop/cart.v2/ shop/cart.v2/app" {
		t.Errorf("containers: %s", got)
	}
}

func TestWhatANameWasCutOutOfIsNotKept(t *testing.T) {
	w := &wirePod{Metadata: wireMetadata{UID: uidA, Namespace: "n", Name: "p"}}
	w.Status.Containers = []wireContainer{{Name: "c", ContainerID: strings.Repeat("x", 1<<20) + "://" + idA}}
	for id := range func() *pod { p, _ := w.pod(); return p }().containers {
		text := w.Status.Containers[0].ContainerID
		from := uintptr(unsafe.Pointer(unsafe.StringData(text)))
		if at := uintptr(unsafe.Pointer(unsafe.StringData(id))); at >= from && at < from+uintptr(len(text)) {
			t.Error("an id of 64 bytes keeps the megabyte that it stood in")
		}
	}
}

func TestAConnectionThatIsCutOffNowAndThenIsNotWaitedForLonger(t *testing.T) {
	s := newServer(t)
	s.options.pace.retry, s.options.pace.maxRetry, s.options.pace.watch = 10*time.Millisecond, time.Hour, time.Second
	s.answer("list", list("1", ""))
	s.answer("watch", func(w http.ResponseWriter, _ *http.Request) { // as by a load balancer
		w.(http.Flusher).Flush()
		time.Sleep(30 * time.Millisecond)
		panic(http.ErrAbortHandler)
	})
	run(t, s.options)
	until(t, "twelve lists and watches: had the pauses doubled, they would take 40 s", func() bool { return len(s.asked()) >= 24 })
}

func TestRunLeavesNothingBehind(t *testing.T) {
	s := newServer(t)
	s.answer("list", list("1", ""))
	s.answer("watch", changes(true))
	before := runtime.NumGoroutine()
	for range 5 {
		r, err := New(s.options)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		until(t, "pods are known", func() bool { return r.State().Synced })
		stop()
		<-done
	}
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestAServerThatEndsEachWatchIsNotAskedWithoutPause(t *testing.T) {
	s := newServer(t)
	s.options.pace.retry = 50 * time.Millisecond
	s.answer("list", list("1", ""))
	s.answer("watch", changes(false))
	r := run(t, s.options)
	until(t, "pods are known", func() bool { return r.State().Synced })
	time.Sleep(300 * time.Millisecond)
	if n := len(s.asked()); n < 3 || n > 9 {
		t.Errorf("%d requests in 0.3 s, one in 50 ms is right", n)
	}
}

func TestTokenAndAuthorityAreReadAnew(t *testing.T) {
	s := newServer(t)
	s.answer("list", refuses(401, ""))
	run(t, s.options)
	until(t, "the first token", func() bool { return s.has("Bearer first") })
	write(t, s.options.TokenFile, "second")
	until(t, "the second token", func() bool { return s.has("Bearer second") })
}

func (s *server) has(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if t == token {
			return true
		}
	}
	return false
}

func TestTheTokenGoesToNobodyElse(t *testing.T) {
	s := newServer(t)
	s.answer("list", list("1", ""))
	write(t, s.options.CAFile, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	r := run(t, s.options)
	until(t, "no certificate", func() bool {
		return r.State().Err != nil && strings.Contains(r.State().Err.Error(), "no certificate in")
	})
	if len(s.asked()) != 0 {
		t.Errorf("a server that is not trusted was asked %q", s.asked())
	}
	for _, wrong := range []string{"http://127.0.0.1:1", "https://", "127.0.0.1:1", "https://h/path", ""} {
		if _, err := New(Options{Server: wrong, Node: "n"}); err == nil || !strings.Contains(err.Error(), "must be like https://HOST:PORT") {
			t.Errorf("server %q: %v", wrong, err)
		}
	}
	if _, err := New(Options{Server: s.URL}); err == nil || !strings.Contains(err.Error(), "NODE_NAME") {
		t.Errorf("no node: %v", err)
	}
	if _, err := New(Options{Server: s.URL, Node: "a,status.phase=Failed"}); err == nil {
		t.Error("a node's name that is a selector is taken")
	}
}

func TestTheKubeletIsAskedAgainForAContainerThatIsNew(t *testing.T) {
	s := newServer(t)
	s.options.Kubelet, s.options.Server, s.options.Node = s.URL, "", ""
	s.answer("kubelet", list("", "", object(uidA, "shop", "checkout", "", "app", idA)),
		list("", "", object(uidB, "shop", "cart", "", "app", idB)))
	r := run(t, s.options)
	until(t, "pods are known", func() bool { return named(r, uidA, idA) == "shop/checkout/app" })
	until(t, "the new one, long before the next poll", func() bool { return named(r, uidB, idB) == "shop/cart/app" })
	if got := named(r, uidA, idA); got != "shop/checkout/app" {
		t.Errorf("the pod that is gone: %q", got)
	}
	for _, asked := range s.asked() {
		if asked != "/pods" {
			t.Errorf("it was asked for %q", asked)
		}
	}
}

func TestTheKubeletSaysWhichRightIsMissing(t *testing.T) {
	s := newServer(t)
	s.options.Kubelet = s.URL
	s.answer("kubelet", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Forbidden (user=x, verb=get)", http.StatusForbidden)
	})
	r := run(t, s.options)
	until(t, "an error", func() bool { return r.State().Err != nil })
	if got := r.State().Err.Error(); !strings.HasSuffix(got, "needs the verb get on nodes/pods (before Kubernetes 1.33: nodes/proxy)") {
		t.Errorf("error: %s", got)
	}
	if r.State().Synced {
		t.Error("what was never known is said to be")
	}
}

func TestTheEnvironmentOfAPod(t *testing.T) {
	full := map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "NODE_NAME": "n1"}
	for _, test := range []struct {
		name, without, host, want string
	}{
		{"in a pod", "", "10.0.0.1", "https://10.0.0.1:443"},
		{"IPv6", "", "fd00::1", "https://[fd00::1]:443"},
		{"elsewhere", "KUBERNETES_SERVICE_HOST", "", ""},
		{"no node's name", "NODE_NAME", "10.0.0.1", ""},
	} {
		o, ok := FromEnvironment(func(name string) string {
			switch name {
			case test.without:
				return ""
			case "KUBERNETES_SERVICE_HOST":
				return test.host
			}
			return full[name]
		})
		if o.Server != test.want || ok != (test.want != "") || (ok && o.Node != "n1") {
			t.Errorf("%s: %+v, %t", test.name, o, ok)
		}
	}
}

func BenchmarkPod(b *testing.B) {
	r, err := New(Options{Server: "https://192.0.2.1", Node: "n"})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 500 {
		w := &wirePod{Metadata: wireMetadata{UID: fmt.Sprintf("uid-%d", n), Namespace: "n", Name: "pod"}}
		w.Status.Containers = []wireContainer{{Name: "c", ContainerID: fmt.Sprintf("containerd://%064x", n)}}
		r.table.put(w, time.Time{})
	}
	id := fmt.Sprintf("%064x", 77)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, ok := r.Pod("uid-77", id); !ok {
			b.Fatal("not known")
		}
	}
}
