package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// parts is all that a binary is made of.
type parts struct {
	self   part
	others []part // the Go library, then modules in the order of their paths
	digest string // SHA-256 of the binary, in hex
}

// part is a module, or the Go library ("std").
type part struct {
	path, version string
	sum           string // as in go.sum: h1:…
	licence       string // an SPDX expression, "" where the texts are not known by sight
	texts         []text
}

type text struct{ name, body string }

// read adds a licence.
func (p *part) read(path, name string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the licence of %s: %w", p.path, err)
	}
	p.texts = append(p.texts, text{name, strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n")) + "\n"})
	return nil
}

// isLicence are the names that licences and notices have.
var isLicence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|unlicense)([.\-_].*)?$`)

// readAll adds all licences at the root of a module; one at least there must be.
func (p *part) readAll(dir string) error {
	if dir == "" {
		return fmt.Errorf("module %s %s is in the binary and not in the list on standard input", p.path, p.version)
	}
	entries, err := os.ReadDir(dir) // in the order of names
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && isLicence.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go") {
			if err := p.read(filepath.Join(dir, e.Name()), e.Name()); err != nil {
				return err
			}
		}
	}
	if len(p.texts) == 0 {
		return fmt.Errorf("module %s %s has no licence that could be passed on", p.path, p.version)
	}
	p.licence = identify(p.texts[0].body)
	return nil
}

// identify returns the SPDX name of a licence, "" where it is none of the few that Go modules usually have.
func identify(body string) string {
	words := strings.Join(strings.Fields(body), " ")
	has := func(s string) bool { return strings.Contains(words, s) }
	switch {
	case has("Apache License Version 2.0"):
		return "Apache-2.0"
	case has("Mozilla Public License") && has("2.0"):
		return "MPL-2.0"
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute this software"),
		has("Permission to use, copy, modify, and distribute this software"):
		return "ISC"
	case has("Redistribution and use in source and binary forms"):
		if has("Neither the name") || has("may be used to endorse") {
			return "BSD-3-Clause"
		}
		return "BSD-2-Clause"
	}
	return ""
}

// readDirs reads lines of path, version and directory, with tabs between.
func readDirs(r io.Reader) (map[string]string, error) {
	dirs := make(map[string]string)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("a line of the list of modules has %d fields instead of path, version and directory: %q",
				len(fields), lines.Text())
		}
		dirs[fields[0]+"@"+fields[1]] = fields[2]
	}
	return dirs, lines.Err()
}

func digestOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
