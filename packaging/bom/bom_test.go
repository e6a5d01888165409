package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// example is a binary of two modules and the Go library.
func example() *parts {
	return &parts{
		digest: strings.Repeat("0123456789abcdef", 4),
		self:   part{path: "github.com/tcpstate/tcpstate", version: "v1.2.3", licence: "Apache-2.0", texts: []text{{"LICENSE", "ours\n"}}},
		others: []part{
			{path: "std", version: "go1.26.0", licence: "BSD-3-Clause", texts: []text{{"LICENSE", "go's\n"}}},
			{path: "example.com/a", version: "v1.0.0", sum: "h1:x=", licence: "MIT", texts: []text{{"LICENSE", "shared\n"}}},
			{path: "example.com/b c/v2", version: "v2.0.0+incompatible", sum: "h1:y=", texts: []text{{"COPYING", "shared\n"}, {"NOTICE", "b's\n"}}},
		},
	}
}

func TestTheBillOfMaterialsIsCycloneDX(t *testing.T) {
	var out, again bytes.Buffer
	made := time.Unix(1_700_000_000, 0).UTC()
	for _, to := range []*bytes.Buffer{&out, &again} {
		if err := example().writeSBOM(to, made); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("it is another one each time")
	}
	var b struct {
		BOMFormat, SpecVersion, SerialNumber string
		Version                              int
		Metadata                             struct {
			Timestamp string
			Component struct {
				Type, Name, Version string
				Hashes              []struct{ Alg, Content string }
				Ref                 string `json:"bom-ref"`
			}
		}
		Components []struct {
			Type, Name, Version, PURL string
			Ref                       string `json:"bom-ref"`
			Licenses                  []struct{ Expression string }
			Properties                []struct{ Name, Value string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if b.BOMFormat != "CycloneDX" || b.SpecVersion != "1.6" || b.Version != 1 {
		t.Errorf("it is %s %s, version %d", b.BOMFormat, b.SpecVersion, b.Version)
	}
	// As the schema of CycloneDX 1.6 has it.
	if serial := regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`); !serial.MatchString(b.SerialNumber) {
		t.Errorf("serial number %s", b.SerialNumber)
	}
	if b.Metadata.Timestamp != "2023-11-14T22:13:20Z" {
		t.Errorf("made at %s", b.Metadata.Timestamp)
	}
	if main := b.Metadata.Component; main.Type != "application" || main.Version != "v1.2.3" || main.Hashes[0].Content != example().digest {
		t.Errorf("it is of %+v", main)
	}
	refs := map[string]bool{b.Metadata.Component.Ref: true}
	var purls []string
	for _, c := range b.Components {
		if refs[c.Ref] {
			t.Errorf("%s is there twice", c.Ref)
		}
		refs[c.Ref] = true
		purls = append(purls, c.PURL)
	}
	want := "pkg:golang/std@1.26.0 pkg:golang/example.com/a@v1.0.0 pkg:golang/example.com/b%20c/v2@v2.0.0%2Bincompatible"
	if got := strings.Join(purls, " "); got != want {
		t.Errorf("components:\n%s, want\n%s", got, want)
	}
	if c := b.Components[2]; len(c.Licenses) != 0 || c.Properties[0].Value != "h1:y=" {
		t.Errorf("a licence that is not known is left out, and the sum is there: %+v", c)
	}
	if len(b.Dependencies) != 1 || len(b.Dependencies[0].DependsOn) != 3 {
		t.Fatalf("dependencies: %+v", b.Dependencies)
	}
	for _, ref := range append(b.Dependencies[0].DependsOn, b.Dependencies[0].Ref) {
		if !refs[ref] {
			t.Errorf("a dependency on %s, which is no component", ref)
		}
	}
}

func TestNoticesHaveEveryTextOnceWithAllItsOwners(t *testing.T) {
	var out strings.Builder
	if err := example().writeNotices(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  example.com/b c/v2 v2.0.0+incompatible\n", "github.com/tcpstate/tcpstate v1.2.3: LICENSE\n", "\nours\n", "\ngo's\n", "\nb's\n",
		"example.com/a v1.0.0: LICENSE\nexample.com/b c/v2 v2.0.0+incompatible: COPYING\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "shared\n"); n != 1 {
		t.Errorf("a text that two have is there %d times", n)
	}
}

func TestAModuleWithoutALicenceIsAnError(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{"license.go": "package x", "licenses.txt": "x", "README": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := part{path: "example.com/a", version: "v1.0.0"}
	if err := p.readAll(dir); err == nil || !strings.Contains(err.Error(), "example.com/a v1.0.0 has no licence") {
		t.Errorf("error: %v", err)
	}
	if err := p.readAll(""); err == nil || !strings.Contains(err.Error(), "not in the list on standard input") {
		t.Errorf("error: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE-MIT"), []byte("Permission is hereby granted, free of charge,\r\nto any person obtaining a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.readAll(dir); err != nil || p.licence != "MIT" || strings.Contains(p.texts[0].body, "\r") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestLicencesAreKnownBySight(t *testing.T) {
	bsd := "Redistribution and use in source and binary forms, with or without modification, are permitted"
	for body, want := range map[string]string{
		"                  Apache License\n           Version 2.0, January 2004": "Apache-2.0",
		bsd:                                   "BSD-2-Clause",
		bsd + "\nNeither the name of X":       "BSD-3-Clause",
		"Mozilla Public License, version 2.0": "MPL-2.0",
		"Permission to use, copy, modify, and distribute this software for any": "ISC",
		"All rights reserved": "",
	} {
		if got := identify(body); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

func TestWrongUsageIsNamed(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if err := run([]string{"x"}, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH must be a number") {
		t.Errorf("no time: %v", err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	if err := run(nil, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "one BINARY is needed") {
		t.Errorf("no binary: %v", err)
	}
	if err := run([]string{os.Args[0]}, strings.NewReader("one\ttwo\n")); err == nil || !strings.Contains(err.Error(), "2 fields") {
		t.Errorf("a list that is none: %v", err)
	}
	if err := run([]string{"bom_test.go"}, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "what bom_test.go is made of") {
		t.Errorf("no binary of Go's: %v", err)
	}
}
