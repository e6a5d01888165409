package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// client asks one server, with the token of the service account.
type client struct {
	base                   *url.URL
	name                   string // of the server, for people
	tokenFile, authorities string

	mu   sync.Mutex
	pem  []byte // that http trusts
	http *http.Client
}

func newClient(base, name, tokenFile, authorities string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("the URL of the %s must be like https://HOST:PORT, it is %q", name, base)
	}
	return &client{base: u, name: name, tokenFile: tokenFile, authorities: authorities}, nil
}

func joinHostPort(host, port string) string { return net.JoinHostPort(strings.Trim(host, "[]"), port) }

// get asks for a path. The answer must be closed.
func (c *client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	h, err := c.trusting()
	if err != nil {
		return nil, err
	}
	token, err := readBounded(c.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the service account's token: %w", err)
	}
	u := *c.base
	u.Path, u.RawQuery = path, query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "tcpstate")
	response, err := h.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // whose text has the whole query
			err = wrapped.Err
		}
		return nil, fmt.Errorf("ask the %s at %s: %w", c.name, c.base.Host, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, c.refusal(response)
	}
	return response.Body, nil
}

// refusal is an answer that is none.
func (c *client) refusal(response *http.Response) error {
	e := &statusError{server: c.name, code: response.StatusCode}
	var problem wireProblem
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&problem) == nil {
		e.message = problem.Message
	}
	return e
}

// statusError is an answer with another status than 200.
type statusError struct {
	server  string
	code    int
	message string // as the server says; not printable for certain
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the %s answers %d %s", e.server, e.code, http.StatusText(e.code))
	if e.message != "" {
		text += fmt.Sprintf(" (%.300q)", e.message)
	}
	switch {
	case e.code == http.StatusUnauthorized:
		return text + ": is the service account's token mounted?"
	case e.code == http.StatusForbidden && e.server == "kubelet":
		return text + ": the service account needs the verb get on nodes/pods (before Kubernetes 1.33: nodes/proxy)"
	case e.code == http.StatusForbidden:
		return text + ": the service account needs the verbs list and watch on pods"
	}
	return text
}

// trusting returns a client for the certificates that the file names now: they are replaced now and then.
func (c *client) trusting() (*http.Client, error) {
	pem, err := readBounded(c.authorities)
	if err != nil {
		return nil, fmt.Errorf("read whose certificates the %s may have: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil && bytes.Equal(pem, c.pem) {
		return c.http, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", c.authorities)
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	c.pem = pem
	c.http = &http.Client{
		Transport: &http.Transport{ // no proxy: the token is for this server alone
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			MaxConnsPerHost:       2,
			IdleConnTimeout:       90 * time.Second,
		},
		// An answer that leads elsewhere is a refusal: the token goes nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c.http, nil
}

// readBounded reads a file of the service account: kilobytes.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return text, err
}

// allowance is a reader that gives only so many bytes, until it is renewed.
type allowance struct {
	io.Reader
	most, left int
}

var errTooLarge = errors.New("the answer is larger than any that is right")

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errTooLarge
	}
	n, err := a.Reader.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}

func (a *allowance) renew() { a.left = a.most }
