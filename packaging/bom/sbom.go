package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// What is written of CycloneDX 1.6 (ECMA-424).
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licences   []licence  `json:"licenses,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Expression string `json:"expression"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// writeSBOM writes the bill of materials, as made at that time.
func (p *parts) writeSBOM(w io.Writer, made time.Time) error {
	self := p.self.component("application")
	self.Hashes = []hash{{"SHA-256", p.digest}}
	b := bom{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1, SerialNumber: p.serialNumber(),
		Metadata:   metadata{Timestamp: made.Format(time.RFC3339), Component: self},
		Components: []component{},
	}
	all := dependency{Ref: self.Ref}
	for i := range p.others {
		c := p.others[i].component("library")
		b.Components = append(b.Components, c)
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{all}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(b)
}

func (p *part) component(kind string) component {
	c := component{Type: kind, Name: p.path, Version: p.version, PURL: p.purl()}
	c.Ref = c.PURL
	if p.licence != "" {
		c.Licences = []licence{{p.licence}}
	}
	if p.sum != "" { // of a listing of the module's files: no digest of any one file
		c.Properties = []property{{"go:sum", p.sum}}
	}
	return c
}

// purl is the package's name everywhere: pkg:golang/PATH@VERSION. The library's version has no "go" there.
func (p *part) purl() string {
	segments := strings.Split(p.path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	version := p.version
	if p.path == "std" {
		version = strings.TrimPrefix(version, "go")
	}
	return "pkg:golang/" + strings.Join(segments, "/") + "@" + url.QueryEscape(version)
}

// serialNumber is a UUID (version 8, RFC 9562) made of the binary's digest.
func (p *parts) serialNumber() string {
	d := []byte(p.digest)
	d[12], d[16] = '8', '8' // version and variant
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", d[:8], d[8:12], d[12:16], d[16:20], d[20:32])
}
